"""ClickHouse away, the outbox full, the disk full: what `ingest` has acknowledged arrives, exactly once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from iot_platform.services.process import free_port
from iot_platform_tests.e2e.commands import environment, iot_platform

FIRST_TIMESTAMP = 1_767_225_600  # 2026-01-01 00:00 UTC
HEADER = b"timestamp,device_id,power_usage_kWh\n"
WAIT_S = 120.0
SECONDS = f"SELECT arraySort(groupArray(toUInt32(timestamp) - {FIRST_TIMESTAMP})) AS seconds FROM l1_power_raw"


def lines(first: int, count: int) -> bytes:
    """Readings of one meter: the position in the stream is its second, so that each one can be told from all others."""
    return b"".join(b"%d,7,1.5\n" % (FIRST_TIMESTAMP + n) for n in range(first, first + count))


@contextmanager
def serving(env: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server of the home; it is ended with the block if it has not been before."""
    command = [sys.executable, "-m", "iot_platform", "db", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None and b"answers" in process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


@dataclass
class Ingest:
    """A running ``ingest --json``: what it has acknowledged, and what it has said on standard error."""

    process: subprocess.Popen[bytes]
    said: list[dict[str, Any]] = field(default_factory=list)
    errors: str = ""
    sent: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        self._errors_thread = threading.Thread(target=self._listen_to_errors, daemon=True)
        self._errors_thread.start()

    def send(self, count: int) -> None:
        """Send the next lines and wait until they are acknowledged."""
        assert self.process.stdin is not None
        self.process.stdin.write((b"" if self.sent else HEADER) + lines(self.sent, count))
        self.process.stdin.flush()
        self.sent += count
        self.wait_until(lambda: bool(self.said) and self.said[-1]["accepted"] == self.sent)

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until what it has said or complained of satisfies a condition."""
        with self.changed:
            assert self.changed.wait_for(is_so, WAIT_S), (self.said[-3:], self.errors)

    def finish(self) -> int:
        """End of the stream; the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(2 * WAIT_S)
        self._errors_thread.join(WAIT_S)
        return code

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.changed:
                self.said.append(json.loads(line))
                self.changed.notify_all()

    def _listen_to_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self.changed:
                self.errors += line.decode()
                self.changed.notify_all()


@contextmanager
def ingesting(env: dict[str, str], *options: str) -> Iterator[Ingest]:
    """``ingest meters`` with some options; it is ended with the block if it has not been before."""
    process = subprocess.Popen(
        [sys.executable, "-m", "iot_platform", "ingest", "meters", "--json", *options],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Ingest(process)
    finally:
        process.kill()
        process.wait()


def seconds_in_l1(env: dict[str, str]) -> list[int]:
    """The position of every reading in L1."""
    found: list[int] = json.loads(iot_platform(env, "sql", SECONDS, "--json"))[0]["seconds"]
    return found


def unreachable(env: dict[str, str]) -> dict[str, str]:
    """The environment of somebody whose ClickHouse is away."""
    return {**env, "IOT_CLICKHOUSE_URL": f"http://default:x@127.0.0.1:{free_port(0, '127.0.0.1')}"}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path / "home", IOT_CLICKHOUSE_PORT=str(free_port(0, "127.0.0.1")), IOT_BATCH_AGE_S="0.1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stream_goes_on_while_clickhouse_is_away(env: dict[str, str], tmp_path: Path, number: signal.Signals) -> None:
    port = int(env["IOT_CLICKHOUSE_PORT"])
    with serving(env, port) as server:
        password = (tmp_path / "home" / "clickhouse" / "password").read_text(encoding="utf-8").strip()
        url = f"http://default:{quote(password, safe='')}@127.0.0.1:{port}"
        remote = {**env, "IOT_CLICKHOUSE_URL": url}
        with ingesting(remote) as ingest:
            for _ in range(10):
                ingest.send(200)
            server.send_signal(number)
            server.wait(WAIT_S)
            for _ in range(20):
                ingest.send(200)
                time.sleep(0.05)
            ingest.wait_until(lambda: "Cannot deliver at the moment" in ingest.errors)
            with serving(env, port):
                ingest.send(200)
                assert ingest.finish() == 0
                assert ingest.said[-1] == {"accepted": 6_200, "delivered": True, "rejected": 0}
                assert seconds_in_l1(remote) == list(range(6_200))


def test_a_full_outbox_refuses_input_and_delivers_what_it_accepted(env: dict[str, str]) -> None:
    away = {**unreachable(env), "IOT_OUTBOX_BYTES": "20000"}
    with ingesting(away, "--full-wait", "1", "--flush-wait", "1") as ingest:
        ingest.send(100)
        assert ingest.process.stdin is not None
        started = time.monotonic()
        try:
            for position in range(100, 10_000, 100):
                ingest.process.stdin.write(lines(position, 100))
                ingest.process.stdin.flush()
                time.sleep(0.02)
        except BrokenPipeError:
            pass
        assert ingest.process.wait(WAIT_S) == 1
        # Its own time limits, not the default ones of a minute.
        assert time.monotonic() - started < 50
        ingest.wait_until(lambda: "No readings are accepted until some are delivered to ClickHouse" in ingest.errors)
    accepted = ingest.said[-1]["accepted"]
    assert 100 <= accepted < 10_000
    with ingesting(env) as ingest:
        ingest.wait_until(lambda: bool(ingest.said))
        ingest.sent = ingest.said[0]["accepted"]
        assert ingest.sent == accepted
        assert ingest.finish() == 0
    assert seconds_in_l1(env) == list(range(accepted))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB where the home has its outbox and its reports."""
    home = tmp_path / "home"
    disk = home / "outbox"
    disk.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        if os.environ.get("CI"):
            pytest.fail(f"A tmpfs is needed: {done.stderr}")
        pytest.skip(f"No tmpfs can be mounted here ({done.stderr.strip()}).")
    (disk / "reports").mkdir()
    (home / "rejects").symlink_to(disk / "reports")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_refuses_input_and_keeps_what_was_accepted(env: dict[str, str], small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with ingesting(unreachable(env), "--full-wait", "1", "--flush-wait", "1") as ingest:
        ingest.send(100)
        free = os.statvfs(small_disk)
        ballast.write_bytes(b"x" * (free.f_bavail * free.f_bsize))
        assert ingest.process.stdin is not None
        # A frame may still fit into the last page of the open file.
        ingest.process.stdin.write(lines(100, 2_000))
        ingest.process.stdin.flush()
        assert ingest.process.wait(WAIT_S) == 1
        ingest.wait_until(lambda: "No space left on device. These 2,000 readings were not accepted" in ingest.errors)
    assert ingest.said[-1]["accepted"] == 100
    # On the full disk a line that is no reading cannot be reported: that is said as well.
    with ingesting(env) as ingest:
        ingest.wait_until(lambda: bool(ingest.said))
        assert ingest.said[0]["accepted"] == 100 and ingest.process.stdin is not None
        ingest.process.stdin.write(HEADER + b"2026-01-01,7,none\n" * 2_000)
        ingest.process.stdin.close()
        assert ingest.process.wait(WAIT_S) == 1
        ingest.wait_until(lambda: "No space left on device" in ingest.errors)
        assert "Traceback" not in ingest.errors
    assert seconds_in_l1(env) == list(range(100))
