"""An unload takes exactly one load out of every layer, wherever it is killed, and the load can be written again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse import retries
from iot_platform.errors import PlatformError, SourceError
from iot_platform.layers.catalog import DERIVED_LAYERS, RAW_TABLE
from iot_platform.layers.proof import prove_all
from iot_platform.layers.status import unverified_by_layer
from iot_platform.readings import loads as loads_module
from iot_platform.readings import unload as unloading
from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.group_writer import GroupWriter, SourceBatch
from iot_platform.readings.loads import Load, find_load, loads
from iot_platform.readings.prepared_batch import Batch
from iot_platform.readings.unload import Contents, Selection, contents, unload
from iot_platform_tests.readings.test_takeover import Killed, killed_at_insert

START = int(dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp())


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(unloading, "LOCK_WAIT_S", 0.2)


def table(values: list[float], *, first_s: int = START, step_s: int = 3600, device: int = 1) -> pa.Table:
    """A reading per ``step_s`` of one meter."""
    times = pa.array([first_s + n * step_s for n in range(len(values))]).cast(pa.timestamp("s", "UTC"))
    devices = pa.array([device] * len(values), pa.uint32())
    return pa.Table.from_arrays([times, devices, pa.array(values)], schema=READING_SCHEMA)


# Two days each; the second overlaps the first day of the other, has a third, an invalid value and an impossible time.
RIGHT = table([1.0] * 40)
WRONG = pa.concat_tables(
    [
        table([1000.0, -1.0, *[2.0] * 10]),
        table([3.0] * 10, first_s=START + 3 * 86_400),
        table([4.0] * 6, device=2),
        table([5.0], first_s=1000),
    ]
)


def write(client: Client, source: str, readings: pa.Table, size: int = 100) -> None:
    writer = BatchWriter(client, source, f"{source} in words")
    with writer.exclusive():
        for start, stop in writer.ranges_to_write(0, readings.num_rows, size):
            writer.write(Batch(start, stop, readings.slice(start, stop - start)))


def layers(client: Client) -> dict[str, list[Any]]:
    """All rows of L1 and, proved, of every layer. There are no unverified days."""
    list(prove_all(client, only_unverified=True))
    assert not any(unverified_by_layer(client, DERIVED_LAYERS).values())
    return all_rows(client, "*")


def all_rows(client: Client, columns: str) -> dict[str, list[Any]]:
    """The rows of every layer: some columns, and the sums of the marts, whose rows merges combine."""
    found = {}
    for name in [RAW_TABLE, *(layer.name for layer in DERIVED_LAYERS)]:
        text = f"SELECT {columns} FROM {name}"
        if name.startswith("l4"):
            sums = "sum(total_kWh), sum(readings), max(max_kWh)"
            text = f"SELECT * EXCEPT (total_kWh, avg_kWh, readings, max_kWh), {sums} FROM {name} GROUP BY ALL"
        found[name] = list(client.query(f"{text} ORDER BY ALL").result_rows)
    return found


def taken(client: Client, source: str, *bounds: int) -> Contents:
    load = find_load(client, source)
    selection = Selection(source, *bounds)
    found = contents(client, selection)
    proofs = unload(client, load, selection, found)
    assert all(proof.is_equal for proof in proofs)
    return found


def state(client: Client, source: str) -> str:
    return find_load(client, source).state


@pytest.mark.parametrize("size", [100, 5])
def test_the_layers_are_as_if_it_was_never_loaded(schema: Client, size: int) -> None:
    write(schema, "right", RIGHT)
    before = layers(schema)
    write(schema, "wrong", WRONG, size)
    assert layers(schema) != before
    found = taken(schema, "wrong")
    assert (found.readings, found.total_kWh, found.meters) == (29, 1078.0, 2)
    assert found.days == ("0", "20260101", "20260104")
    # Those over the limit and below zero have not replaced any.
    assert found.uncovered == 10
    assert not any(unverified_by_layer(schema, DERIVED_LAYERS).values())
    assert layers(schema) == before
    assert (state(schema, "wrong"), state(schema, "right")) == ("unloaded", "complete")
    with pytest.raises(PlatformError, match="nothing to unload"):
        taken(schema, "wrong")


def test_it_can_be_loaded_again_with_other_batches(schema: Client) -> None:
    write(schema, "right", RIGHT)
    write(schema, "wrong", WRONG, 5)
    query = "SELECT timestamp, device_id, power_usage_kWh FROM {} ORDER BY ALL"
    tables = (RAW_TABLE, "l2_power_cleaned", "power_quarantine", "l3_power_joined")
    layers(schema)
    once = [schema.query(query.format(name)).result_rows for name in tables]
    for size in (7, 7, 100):
        taken(schema, "wrong")
        write(schema, "wrong", WRONG, size)
        write(schema, "wrong", WRONG, 3)
        layers(schema)
        assert [schema.query(query.format(name)).result_rows for name in tables] == once
    [load] = [load for load in loads(schema) if load.source == "wrong"]
    assert (load.state, load.readings, load.meters) == ("partly unloaded", 29, 2)


KILLS = [
    "INSERT INTO ingestion_ledger",
    "proof_requests",
    "ALTER TABLE l1_power_raw DELETE",
    "INSERT INTO partition_proofs",
    "partition_proofs",
    " PARTITION ID ",
    "DROP TABLE",
]


@contextmanager
def killed(client: Client, text: str, number: int, *, after: bool) -> Iterator[list[int]]:
    """The process is killed at its ``number``-th statement with a text: nothing it does reaches the server any more.

    Yields a list that is empty if there were fewer.
    """
    count = 0
    dead: list[int] = []
    real = {name: getattr(client, name) for name in ("command", "query", "raw_insert")}

    def call(name: str, statement: str, *args: Any, **options: Any) -> Any:
        nonlocal count
        if dead:
            raise Killed
        count += (is_match := text in statement and not statement.lstrip().startswith("SELECT"))
        if is_match and count == number and not after:
            dead.append(1)
            raise Killed
        result = real[name](statement, *args, **options)
        if is_match and count == number:
            dead.append(1)
            raise Killed
        return result

    with pytest.MonkeyPatch.context() as patch:
        for name in real:
            patch.setattr(client, name, lambda *args, name=name, **options: call(name, *args, **options))
        with suppress(Killed):
            yield dead


@pytest.mark.parametrize("text", KILLS)
def test_a_killed_unload_is_completed_by_the_next(schema: Client, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The killed process is this one, and its locks stay behind.
    monkeypatch.setattr(loads_module, "is_alive", lambda comment: False)
    write(schema, "right", RIGHT)
    before = layers(schema)
    write(schema, "wrong", WRONG, 12)
    for number in (1, 2):
        for after in (False, True):
            with killed(schema, text, number, after=after) as dead:
                taken(schema, "wrong")
            if not dead:
                assert number > 1
                write(schema, "wrong", WRONG, 12)
                continue
            # Nobody writes to it before it is complete, and no day passes for verified that is not.
            if (now := state(schema, "wrong")) == "unloading":
                with pytest.raises(SourceError, match="unload of this load was interrupted"):
                    write(schema, "wrong", WRONG)
            elif now == "complete":
                write(schema, "wrong", WRONG)
            if now != "unloaded":
                count = schema.query(f"SELECT count() FROM {RAW_TABLE} WHERE source = 'wrong'").result_rows[0][0]
                found = layers(schema)
                assert (found == before) == (count == 0)
                taken(schema, "wrong")
            assert layers(schema) == before
            write(schema, "wrong", WRONG, 12)


def test_a_load_that_was_killed_is_unloaded_and_written_again(schema: Client) -> None:
    write(schema, "right", RIGHT)
    before = layers(schema)
    with killed_at_insert(schema, 2, after=True):
        write(schema, "wrong", WRONG, 10)
    schema.command("ALTER TABLE ingestion_ledger DELETE WHERE position_from = 10", settings={"mutations_sync": 1})
    taken(schema, "wrong")
    assert layers(schema) == before
    # The same range as one that was unloaded, killed again before its entry.
    with killed_at_insert(schema, 1, after=True):
        write(schema, "wrong", WRONG, 10)
    schema.command(
        "ALTER TABLE ingestion_ledger DELETE WHERE position_from = 0 AND source = 'wrong' AND state = 'committed'",
        settings={"mutations_sync": 1},
    )
    write(schema, "wrong", WRONG, 10)
    assert schema.query(f"SELECT count() FROM {RAW_TABLE} WHERE source = 'wrong'").result_rows == [(29,)]
    taken(schema, "wrong")
    assert layers(schema) == before


def test_other_days_stay_verified(schema: Client) -> None:
    write(schema, "right", RIGHT)
    write(schema, "other", table([1.0] * 5, first_s=START + 9 * 86_400))
    write(schema, "wrong", WRONG)
    layers(schema)
    proofs = unload(schema, find_load(schema, "wrong"), Selection("wrong"))
    assert {proof.partition for proof in proofs} == {"0", "20260101", "20260104"}
    assert not any(unverified_by_layer(schema, DERIVED_LAYERS).values())


def test_what_cannot_be_unloaded_is_refused(schema: Client) -> None:
    write(schema, "old", RIGHT)
    schema.command(f"ALTER TABLE {RAW_TABLE} UPDATE source = '' WHERE 1", settings={"mutations_sync": 1})
    with pytest.raises(PlatformError, match="40 readings of this load have no source in L1.*Way out"):
        contents(schema, Selection("old"))
    assert find_load(schema, "old").meters is None
    writer = BatchWriter(schema, "written")
    with writer.exclusive():
        writer.write(Batch(0, 40, RIGHT))
        load = find_load(schema, "written")
        assert load.state == "writing"
        with pytest.raises(PlatformError, match="is being written. Nothing was unloaded"):
            unload(schema, load, Selection("written"))
    shown = contents(schema, Selection("written"))
    BatchWriter(schema, "written").write(Batch(40, 60, table([1.0] * 20, device=7)))
    with pytest.raises(PlatformError, match="has changed meanwhile"):
        unload(schema, load, Selection("written"), shown)
    assert state(schema, "written") == "complete"


def test_batches_of_a_stream(schema: Client) -> None:
    source = "stream:s:1"
    batches = [SourceBatch(source, Batch(n * 10, n * 10 + 10, table([float(n)] * 10))) for n in range(3)]
    with GroupWriter(schema) as writer:
        assert writer.write(batches[:2]) == [10, 10]
    before = layers(schema)
    with GroupWriter(schema) as writer:
        assert writer.write(batches[2:]) == [10]
    with pytest.raises(PlatformError, match="only a part of the batch with the positions 20 to 30"):
        taken(schema, source, 25, 30)
    assert taken(schema, source, 20, 30).uncovered == 10
    assert layers(schema) == before
    assert state(schema, source) == "partly unloaded"
    # An outbox that was killed before it deleted the batch sends it again: it does not come back.
    with GroupWriter(schema) as writer:
        assert writer.write(batches) == [0, 0, 0]
    assert layers(schema) == before


def test_ids(schema: Client, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(schema, name, RIGHT)
    found: dict[str, Load] = {load.source: load for load in loads(schema)}
    assert [load.source for load in loads(schema, 1)] == ["b"]
    for load in found.values():
        assert (load.description, load.batches) == (f"{load.source} in words", 1)
        assert (str(load.first_day), str(load.last_day)) == ("2026-01-01", "2026-01-02")
        assert find_load(schema, load.id[:5].upper()) == load
    with pytest.raises(PlatformError, match="No load 'zz'"):
        find_load(schema, "zz")
    with pytest.raises(PlatformError, match="Several loads"):
        find_load(schema, "")
