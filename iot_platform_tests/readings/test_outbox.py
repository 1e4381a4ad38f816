"""Accepted readings survive crashes of the process and a full disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_platform.errors import OutboxFullError, PlatformError
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.outbox import Outbox

MIB = 1 << 20


def readings(*values: float) -> pa.Table:
    count = len(values)
    times = pa.array([1_767_225_600] * count).cast(pa.timestamp("s", "UTC"))
    return pa.Table.from_arrays([times, pa.array([7] * count), pa.array(values)], schema=READING_SCHEMA)


def accepted(outbox: Outbox) -> list[float | None]:
    """Every value in the batches, in order."""
    outbox.seal()
    return [value for batch in outbox.sealed() for value in batch.read()["power_usage_kWh"].to_pylist()]


def test_accepted_readings_come_back_in_order(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, MIB)
    assert outbox.append(readings(1.0, 2.0), 2) == 2
    outbox.seal()
    assert outbox.append(readings(3.0), 5) == 7
    outbox.close()  # as after a crash: nothing was sealed or delivered
    again = Outbox(tmp_path, MIB)
    assert (again.position, again.stream_id) == (7, outbox.stream_id)
    assert accepted(again) == [1.0, 2.0, 3.0]
    assert [(batch.position_from, batch.position_to) for batch in again.sealed()] == [(0, 2), (2, 7)]
    first, second = again.sealed()
    assert second.arrived_at > first.arrived_at
    again.remove(first)
    again.remove(second)
    again.close()
    assert Outbox(tmp_path, MIB).position == 7  # an empty outbox still knows where its stream is


def test_a_column_that_only_some_readings_of_a_batch_have_is_null_in_the_others(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, MIB)
    outbox.append(readings(1.0), 1)
    outbox.append(readings(2.0).append_column("voltage", pa.array([230.5], pa.float32())), 1)
    outbox.append(readings(3.0).append_column("voltage", pa.array([231.0], pa.float64())), 1)
    outbox.seal()
    [batch] = outbox.sealed()
    assert batch.read()["voltage"].to_pylist() == [None, 230.5, 231.0]
    assert batch.read()["power_usage_kWh"].to_pylist() == [1.0, 2.0, 3.0]


def test_later_batches_are_newer_even_if_the_clock_is_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrivals = []
    for clock_s in (1_000, 900, 901):
        monkeypatch.setattr("time.time_ns", lambda clock_s=clock_s: clock_s * 1_000_000_000)
        outbox = Outbox(tmp_path, MIB)
        outbox.append(readings(*[1.0] * 3_000), 3_000)
        outbox.seal()
        [batch] = outbox.sealed()
        arrivals.append(round(batch.arrived_at.timestamp() * 1e6))
        outbox.remove(batch)
        outbox.close()
    # Each repeat within a batch is a microsecond newer than the one before it.
    assert arrivals == [1_000_000_000, 1_000_003_000, 1_000_006_000]


def test_a_batch_is_not_delivered_before_its_file_name_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(tmp_path, MIB)
    outbox.append(readings(1.0), 1)

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", broken)
        outbox.seal()
        with pytest.raises(OSError, match="Input/output error"):
            outbox.sealed()
        outbox.append(readings(2.0), 1)
    assert accepted(outbox) == [1.0, 2.0]
    outbox.close()


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 2000), noise=st.binary(max_size=64))
def test_an_incomplete_end_is_cut_off(tmp_path_factory: pytest.TempPathFactory, cut: int, noise: bytes) -> None:
    directory = tmp_path_factory.mktemp("outbox")
    outbox = Outbox(directory, MIB)
    sizes = [0]
    for value in (1.0, 2.0, 3.0):
        outbox.append(readings(value), 1)
        sizes.append(outbox.unsealed_bytes)
    outbox.close()
    [file] = directory.glob("*.open")
    kept = min(cut, sizes[-1])
    os.truncate(file, kept)
    with file.open("ab") as handle:
        handle.write(noise)
    whole = sum(size <= kept for size in sizes) - 1
    assert accepted(Outbox(directory, MIB)) == [1.0, 2.0, 3.0][:whole]


def test_a_full_outbox_refuses_and_loses_nothing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, 4000)
    count = 0
    with pytest.raises(OutboxFullError, match="No readings are accepted"):
        for count in range(100):
            outbox.append(readings(float(count)), 1)
    assert 0 < count < 100
    assert accepted(outbox) == [float(n) for n in range(count)]
    outbox.remove(outbox.sealed()[0])
    outbox.append(readings(-1.0), 1)
    assert outbox.position == count + 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        if os.environ.get("CI"):
            pytest.fail(f"A tmpfs is needed: {done.stderr}")
        pytest.skip(f"No tmpfs can be mounted here ({done.stderr.strip()}).")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_refuses_and_loses_nothing(small_disk: Path) -> None:
    outbox = Outbox(small_disk / "stream", MIB)
    wanted: list[float] = []
    with pytest.raises(OutboxFullError, match="No space left on device.*were not accepted"):
        for number in range(10_000):
            outbox.append(readings(*[float(number)] * 100), 100)
            wanted += [float(number)] * 100
    # Smaller frames may still fit: fill the disk up to the last one.
    with pytest.raises(OutboxFullError):
        for _ in range(10_000):
            outbox.append(readings(0.5), 1)
            wanted.append(0.5)
    outbox.close()
    again = Outbox(small_disk / "stream", MIB)
    assert accepted(again) == wanted
    for batch in again.sealed():
        again.remove(batch)
    assert again.append(readings(7.0), 1) == len(wanted) + 1
    again.close()


def test_only_one_process_at_a_time_can_use_an_outbox(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, MIB)
    with pytest.raises(PlatformError, match="in use by another process"):
        Outbox(tmp_path, MIB)
    outbox.close()
    Outbox(tmp_path, MIB).close()


def test_a_damaged_batch_is_refused_and_not_cut_off(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, MIB)
    outbox.append(readings(1.0), 1)
    outbox.append(readings(2.0), 1)
    outbox.seal()
    [batch] = outbox.sealed()
    with batch.path.open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"\xff\x00\xff")
    with pytest.raises(PlatformError, match="is damaged: 1 of its 2 positions"):
        batch.read()


def test_a_directory_that_cannot_be_created_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PlatformError, match="cannot be opened: Not a directory"):
        Outbox(tmp_path / "file" / "stream", MIB)
