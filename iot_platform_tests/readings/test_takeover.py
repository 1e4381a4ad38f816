"""A writer that takes over a source finds out what its killed predecessor has written, wherever it was killed."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse import lock, retries
from iot_platform.clickhouse.blocks import insert_block
from iot_platform.errors import PlatformError, SourceError
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.layers.proof import prove_all
from iot_platform.readings import source_lease
from iot_platform.readings.arrival_times import with_arrival_times
from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.prepared_batch import Batch
from iot_platform_tests.readings.test_batch_writer import contents, readings, states

# Three days, with repeated keys: the batch is three parts of L1.
TABLE = pa.concat_tables([readings(30, step_s=8_000), readings(10, step_s=8_000)])


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE_S", 0.001)


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


@contextmanager
def killed_at_insert(client: Client, number: int, *, after: bool) -> Iterator[None]:
    """The process is killed at its ``number``-th insert into L1, before or ``after`` it; the lock stays behind."""
    real, count = client.raw_insert, 0

    def insert(table: str, *args: Any, **options: Any) -> Any:
        nonlocal count
        if table != RAW_TABLE:
            return real(table, *args, **options)
        count += 1
        if count == number and not after:
            raise Killed
        result = real(table, *args, **options)
        if count == number:
            raise Killed
        return result

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(client, "raw_insert", insert)
        yield


def batch(start: int, stop: int) -> Batch:
    return Batch(start, stop, TABLE.slice(start, stop - start))


def write_all(client: Client, size: int) -> int:
    writer = BatchWriter(client, "s")
    with writer.exclusive():
        return sum(writer.write(batch(*bounds)) for bounds in writer.ranges_to_write(0, 40, size))


def no_part(client: Client) -> None:
    """L1 and the ledger have the whole batch."""


def no_entry(client: Client) -> None:
    """The view has not written the entry."""
    client.command("ALTER TABLE ingestion_ledger DELETE WHERE position_from = 10", settings={"mutations_sync": 1})


def no_entry_and_two_days(client: Client) -> None:
    """L1 has one of three parts."""
    no_entry(client)
    two_days(client)


def two_days(client: Client) -> None:
    """As if the view came first: the entry is there, and one of three parts."""
    where = "position_from = 10 AND toDate(timestamp) != '2026-01-02'"
    client.command(f"ALTER TABLE {RAW_TABLE} DELETE WHERE {where}", settings={"mutations_sync": 1})


def no_row(client: Client) -> None:
    """As if the view came first: the entry is there, and no row of L1."""
    where = "position_from = 10"
    client.command(f"ALTER TABLE {RAW_TABLE} DELETE WHERE {where}", settings={"mutations_sync": 1})


@pytest.mark.parametrize("damage", [no_part, no_entry, no_entry_and_two_days, two_days, no_row])
@pytest.mark.parametrize("size", [20, 7])
def test_after_a_kill_behind_the_insert(schema: Client, damage: Callable[[Client], None], size: int) -> None:
    writer = BatchWriter(schema, "s")
    with killed_at_insert(schema, 2, after=True), writer.exclusive():
        writer.write(batch(0, 10))
        writer.write(batch(10, 30))
    damage(schema)
    write_all(schema, size)
    assert_whole(schema)
    assert all(state == "committed" for _, _, state, _ in states(schema))
    assert sum(count for _, _, _, count in states(schema)) == 40
    # The batch kept its range, whatever the size is now.
    assert (10, 30) in [(start, stop) for start, stop, _, _ in states(schema)]


def assert_whole(client: Client) -> None:
    """L1 has each row once, with the arrival times of its batch; and so has, once proved, every layer."""
    rows = client.query(
        "SELECT toUnixTimestamp(timestamp), device_id, power_usage_kWh, count() FROM l1_power_raw GROUP BY ALL"
    ).result_rows
    wanted: dict[tuple[int, int, float], int] = {}
    for row in TABLE.to_pylist():
        key = round(row["timestamp"].timestamp()), row["device_id"], row["power_usage_kWh"]
        wanted[key] = wanted.get(key, 0) + 1
    assert {tuple(row[:3]): row[3] for row in rows} == wanted
    list(prove_all(client))
    found = contents(client)
    bad = sum(count for key, count in wanted.items() if key[2] < 0)
    keys = {key[:2] for key in wanted if key[2] >= 0}
    assert (found["power_quarantine"][0], found["l2_power_cleaned"][0], found["readings"]) == (bad, *[len(keys)] * 2)


def test_after_a_kill_before_the_insert_the_range_may_be_split(schema: Client) -> None:
    writer = BatchWriter(schema, "s")
    with killed_at_insert(schema, 2, after=False), writer.exclusive():
        writer.write(batch(0, 10))
        writer.write(batch(10, 30))
    assert write_all(schema, 15) == 30
    assert_whole(schema)
    assert [row[:2] for row in states(schema)] == [(0, 10), (10, 25), (25, 40)]


@pytest.mark.parametrize("after", [False, True])
def test_after_a_kill_in_the_completion(schema: Client, after: bool) -> None:
    with killed_at_insert(schema, 1, after=True):
        BatchWriter(schema, "s").write(batch(10, 30))
    no_entry_and_two_days(schema)
    with killed_at_insert(schema, 1, after=after):
        BatchWriter(schema, "s").write(batch(10, 30))
    # The view has counted the rows that were missing only.
    write_all(schema, 40)
    assert_whole(schema)
    assert {row[3] for row in states(schema) if row[:2] == (10, 30)} == {20}


def test_a_takeover_may_be_killed_too(schema: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_at_insert(schema, 1, after=True):
        BatchWriter(schema, "s").write(batch(10, 30))
    no_entry(schema)
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(source_lease.SourceLease, "is_new", lambda *_: (_ for _ in ()).throw(Killed))
            patch.setattr(source_lease.SourceLease, "close", lambda self: None)
            with pytest.raises(Killed):
                write_all(schema, 10)
    assert write_all(schema, 10) == 40
    assert_whole(schema)


def test_who_took_over_is_the_holder_of_the_lease(schema: Client) -> None:
    """If it is killed in turn, the next one must wait for its inserts, not for those of the first."""
    with killed_at_insert(schema, 1, after=True):
        BatchWriter(schema, "s").write(batch(0, 10))
    query = "SELECT writer, toString(state) FROM ingestion_leases FINAL"
    writer = BatchWriter(schema, "s")
    with writer.exclusive() as lease:
        assert schema.query(query).result_rows[0][0] != lease.writer
        writer.write(batch(10, 40))
        assert schema.query(query).result_rows == [(lease.writer, "open")]
    assert schema.query(query).result_rows == [(lease.writer, "closed")]


def test_other_readings_for_a_range_of_unknown_outcome_are_refused(schema: Client) -> None:
    with killed_at_insert(schema, 1, after=True):
        BatchWriter(schema, "s").write(batch(10, 30))
    no_entry(schema)
    with pytest.raises(SourceError, match="L1 has 1 readings of this range that are not among the 19"):
        BatchWriter(schema, "s").write(Batch(10, 30, TABLE.slice(11, 19)))
    assert write_all(schema, 10) == 40
    assert_whole(schema)


def test_another_batch_with_the_same_readings_is_no_part_of_it(schema: Client) -> None:
    arrived = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
    one, other = (BatchWriter(schema, name) for name in ("s", "t"))
    other.write(Batch(0, 10, TABLE.slice(0, 10), arrived))
    with killed_at_insert(schema, 1, after=True):
        one.write(Batch(0, 10, TABLE.slice(0, 10), arrived))
    schema.command(
        f"ALTER TABLE {RAW_TABLE} DELETE WHERE source = 's' AND device_id = 2", settings={"mutations_sync": 1}
    )
    one.write(Batch(0, 10, TABLE.slice(0, 10), arrived))
    assert schema.query("SELECT source, count() FROM l1_power_raw GROUP BY 1 ORDER BY 1").result_rows == [
        ("s", 10),
        ("t", 10),
    ]


def test_a_takeover_waits_for_an_insert_that_still_runs(schema: Client, server: Any, database: str) -> None:
    import clickhouse_connect

    with killed_at_insert(schema, 1, after=False):
        BatchWriter(schema, "s").write(batch(0, 40))
    # The insert of the killed writer: the server has its request and works on it.
    access = {"username": server.username, "password": server.password, "database": database}
    with clickhouse_connect.get_client(host=server.host, port=server.port, **access) as own:
        columns = "timestamp, device_id, power_usage_kWh, ingested_at"
        slow = (
            f"INSERT INTO {RAW_TABLE} ({columns}, source, position_from, position_to) "
            f"SELECT {columns}, 's', 0, 40 FROM late WHERE sleepEachRow(0.05) = 0"
        )
        since = schema.query("SELECT max(arrivals_from) FROM ingestion_leases").result_rows[0][0].replace(tzinfo=dt.UTC)
        schema.command(f"CREATE TABLE late AS {RAW_TABLE} ENGINE = Memory")
        insert_block(schema, "late", with_arrival_times(TABLE, since))
        settings = {"insert_deduplication_token": "s/0-40/1", "max_block_size": 1, "max_insert_block_size": 1000}
        thread = threading.Thread(target=lambda: own.command(slow, settings=settings))
        thread.start()
        write_all(schema, 7)
        thread.join()
    assert_whole(schema)


def test_the_lease_of_a_dead_process_on_another_machine(schema: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = BatchWriter(schema, "s")
    with pytest.raises(PlatformError, match="taken over by a process that has released it"), writer.exclusive():
        writer.write(batch(0, 10))
        # This process is stopped for a quarter of an hour. Another machine takes the source over and goes on.
        with monkeypatch.context() as patch:
            patch.setattr(lock, "STALE_S", -1)
            patch.setattr(lock, "is_alive", lambda comment: None)
            write_all(schema, 15)
        monkeypatch.setattr(source_lease, "RENEW_S", 0)
        writer.write(batch(10, 40))
    assert_whole(schema)


def lock_time(client: Client) -> dt.datetime:
    rows = client.query(
        "SELECT metadata_modification_time FROM system.tables "
        "WHERE database = currentDatabase() AND startsWith(name, 'lock_source')"
    ).result_rows
    found: dt.datetime = rows[0][0]
    return found


def test_a_lease_is_renewed(schema: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_lease, "RENEW_S", 0)
    writer = BatchWriter(schema, "s")
    with writer.exclusive():
        ages = []
        began = lock_time(schema)
        for start in (0, 20):
            time.sleep(1.1)
            writer.write(batch(start, start + 20))
            ages.append(schema.query("SELECT max(arrivals_from) FROM ingestion_leases").result_rows[0][0])
        # Another machine would see a young lock.
        assert lock_time(schema) > began
    assert ages[1] > ages[0]
    assert_whole(schema)


def test_a_batch_that_arrived_before_the_lease_is_covered(schema: Client) -> None:
    """As those that an outbox kept while ClickHouse was away."""
    with killed_at_insert(schema, 2, after=True):
        writer = BatchWriter(schema, "s")
        with writer.exclusive():
            writer.write(batch(0, 10))
            writer.write(Batch(10, 40, TABLE.slice(10, 30), dt.datetime(2026, 1, 9, tzinfo=dt.UTC)))
    no_entry(schema)
    assert BatchWriter(schema, "s").uncommitted_ranges(0, 50) == [(10, 40), (40, 50)]
    write_all(schema, 40)
    assert_whole(schema)
