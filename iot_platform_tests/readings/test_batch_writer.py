"""Each batch is in every layer exactly once, even if it is repeated, split in another way or interrupted."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iot_platform.clickhouse import retries
from iot_platform.clickhouse.blocks import insert_block
from iot_platform.clickhouse.rows import insert_rows
from iot_platform.errors import PlatformError, SourceError
from iot_platform.layers.catalog import DERIVED_LAYERS, RAW_TABLE
from iot_platform.readings import batch_writer
from iot_platform.readings.arrival_times import with_arrival_times
from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.prepared_batch import Batch, sum_finite
from iot_platform.readings.source_lease import source_lease

START = int(dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp())
LAYERS = [RAW_TABLE, *(layer.table for layer in DERIVED_LAYERS)]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE_S", 0.001)


def readings(count: int, *, step_s: int = 600, every_bad: int = 7) -> pa.Table:
    """One reading per ``step_s`` of device 1 + n % 3; each ``every_bad``-th is negative, so L2 quarantines it."""
    numbers = range(count)
    values = [-1.0 if n % every_bad == 0 else float(n % 50) for n in numbers]
    times = pa.array([START + n * step_s for n in numbers]).cast(pa.timestamp("s", "UTC"))
    ids = pa.array([1 + n % 3 for n in numbers], pa.uint32())
    return pa.Table.from_arrays([times, ids, pa.array(values)], schema=READING_SCHEMA)


def contents(client: Client) -> dict[str, Any]:
    """Rows and energy of every layer."""
    result: dict[str, Any] = {}
    for layer in LAYERS:
        value = "total_kWh" if layer.startswith("l4") else "power_usage_kWh"
        result[layer] = client.query(f"SELECT count(), round(sum(toFloat64({value})), 6) FROM {layer}").result_rows[0]
    result["readings"] = client.query("SELECT sum(readings) FROM l4_power_agg_hourly").result_rows[0][0]
    return result


def states(client: Client) -> list[tuple[Any, ...]]:
    query = "SELECT position_from, position_to, toString(state), readings FROM ingestion_ledger FINAL ORDER BY 1"
    return [tuple(row) for row in client.query(query).result_rows]


def test_one_batch_is_one_block_in_every_layer(schema: Client) -> None:
    # 60,000 rows of one day are more than max_block_size: without the writer's settings the views would split them.
    table = readings(60_000, step_s=1)
    assert BatchWriter(schema, "s").write(Batch(0, 60_000, table)) == 60_000
    found = schema.query(
        "SELECT table, max(max_block_number) - min(min_block_number) + 1 FROM system.parts "
        "WHERE database = currentDatabase() GROUP BY table"
    ).result_rows
    assert {table: blocks for table, blocks in found if table in LAYERS} == dict.fromkeys(LAYERS, 1)


def test_a_large_batch_behind_the_views_stays_one_block(schema: Client) -> None:
    table = readings(300_000, step_s=0, every_bad=10**9).set_column(
        1, "device_id", pa.array(range(1, 300_001), pa.uint32())
    )
    BatchWriter(schema, "s").write(Batch(0, 1, table))
    rows = schema.query(
        "SELECT table, count() FROM system.parts WHERE database = currentDatabase() AND startsWith(table, 'l') "
        "AND table LIKE 'l%power%' AND active GROUP BY table"
    ).result_rows
    assert {count for _, count in rows} == {1}


def test_a_retried_batch_adds_nothing_to_any_layer(schema: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch(0, 2000, readings(2000, step_s=60))
    errors = [OperationalError("the answer was lost")]
    monkeypatch.setattr(schema, "raw_insert", failing(schema.raw_insert, *errors, after=True))
    assert BatchWriter(schema, "s").write(batch) == 2000
    once = contents(schema)
    assert BatchWriter(schema, "s").write(batch) == 0
    assert contents(schema) == once
    assert once["l1_power_raw"][0] == 2000
    assert once["l2_power_cleaned"][0] == once["l3_power_by_version"][0] == once["readings"]


def test_a_committed_batch_is_not_sent_again(schema: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch(0, 10, readings(10))
    assert BatchWriter(schema, "s").write(batch) == 10
    monkeypatch.setattr(schema, "raw_insert", lambda *_, **__: pytest.fail("sent again"))
    assert BatchWriter(schema, "s").write(batch) == 0
    assert BatchWriter(schema, "s").uncommitted_ranges(0, 20) == [(10, 20)]


def failing(real: Callable[..., Any], *errors: Exception, after: bool = False) -> Callable[..., Any]:
    """``raw_insert`` that for L1 first raises the errors, before or ``after`` the server has inserted the rows."""
    remaining = list(errors)

    def insert(table: str, *args: Any, **kwargs: Any) -> Any:
        # The ledger is written in the same way.
        is_raw = table == "l1_power_raw"
        if remaining and is_raw and not after:
            raise remaining.pop(0)
        result = real(table, *args, **kwargs)
        if remaining and is_raw:
            raise remaining.pop(0)
        return result

    return insert


@pytest.mark.parametrize("after", [False, True])
def test_lost_answers_and_busy_servers_are_retried(
    schema: Client, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    errors = [OperationalError("connection reset"), DatabaseError("too many parts", code=252)]
    monkeypatch.setattr(schema, "raw_insert", failing(schema.raw_insert, *errors, after=after))
    assert BatchWriter(schema, "s").write(Batch(0, 100, readings(100))) == 100
    assert contents(schema)["l1_power_raw"][0] == 100


def test_a_batch_that_an_older_version_sent_keeps_its_range(schema: Client) -> None:
    table = readings(30)
    # The older version recorded a batch before it sent it, and sent no source.
    arrived = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
    insert_block(schema, RAW_TABLE, with_arrival_times(table.slice(0, 13), arrived))
    columns = ["source", "position_from", "position_to", "state", "token", "readings", "total_kWh", "ingested_at"]
    kWh = sum_finite(table.slice(0, 20)["power_usage_kWh"])
    insert_rows(schema, "ingestion_ledger", [["s", 0, 20, "sending", "s/0-20", 20, kWh, arrived]], columns)
    writer = BatchWriter(schema, "s")
    assert writer.uncommitted_ranges(0, 10) == [(0, 20)]
    assert writer.ranges_to_write(0, 30, 5) == [(0, 20), (20, 25), (25, 30)]
    with pytest.raises(ValueError, match=r"\(0, 5\) of s overlaps ranges already written: .*\[\(0, 20\)\]"):
        writer.write(Batch(0, 5, table.slice(0, 5)))
    with pytest.raises(SourceError, match="first sent with 20 readings"):
        writer.write(Batch(0, 20, table.slice(0, 19)))
    assert writer.write(Batch(0, 20, table.slice(0, 20))) == 20
    assert contents(schema)["l1_power_raw"][0] == 20


def test_a_server_that_stays_unreachable_is_an_error(schema: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [OperationalError("connection refused")] * retries.ATTEMPTS
    monkeypatch.setattr(schema, "raw_insert", failing(schema.raw_insert, *errors))
    with pytest.raises(OperationalError):
        BatchWriter(schema, "s").write(Batch(0, 1, readings(1)))


def test_an_empty_batch_is_only_recorded_in_the_ledger(schema: Client) -> None:
    writer = BatchWriter(schema, "s", "nothing")
    assert writer.write(Batch(0, 60, READING_SCHEMA.empty_table())) == 0
    assert states(schema) == [(0, 60, "committed", 0)]
    assert writer.uncommitted_ranges(0, 60) == []
    with pytest.raises(ValueError, match="is empty"):
        writer.write(Batch(60, 60, READING_SCHEMA.empty_table()))


def test_the_end_of_a_source_is_stored(schema: Client) -> None:
    writer = BatchWriter(schema, "s")
    assert writer.end() is None
    writer.write(Batch(0, 5, readings(5)))
    writer.record_end(5)
    assert (writer.end(), writer.uncommitted_ranges(0, 5), writer.committed_readings(0, 5)) == (5, [], 5)
    assert BatchWriter(schema, "other").end() is None


def test_the_ledger_summarizes_each_batch(schema: Client) -> None:
    table = readings(3, every_bad=100).append_column("label", pa.array(["a", "b", "c"]))
    BatchWriter(schema, "s", "by hand").write(Batch(0, 9, table))
    query = "SELECT readings, total_kWh, first_timestamp, last_timestamp FROM ingestion_ledger FINAL"
    [(count, kWh, first, last)] = schema.query(query).result_rows
    assert (count, kWh) == (3, 2.0)  # -1 + 1 + 2
    lease = "SELECT source, description, toString(state) FROM ingestion_leases FINAL"
    assert schema.query(lease).result_rows == [("s", "by hand", "closed")]
    assert (last - first) == dt.timedelta(minutes=20)


def test_two_processes_write_a_source_only_once(schema: Client, server: Any, database: str) -> None:
    import clickhouse_connect

    table = readings(400)
    written: list[int] = []

    def load() -> None:
        access = {"username": server.username, "password": server.password, "database": database}
        with clickhouse_connect.get_client(host=server.host, port=server.port, **access) as own:
            writer = BatchWriter(own, "s")
            with writer.exclusive():
                for start, stop in writer.ranges_to_write(0, 400, 100):
                    written.append(writer.write(Batch(start, stop, table.slice(start, stop - start))))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written == [100] * 4
    assert contents(schema)["l1_power_raw"][0] == 400


def test_a_source_in_use_is_an_error(schema: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_writer, "source_lease", partial(source_lease, wait_s=0.2))
    with BatchWriter(schema, "s").exclusive(), pytest.raises(PlatformError, match="still held"):
        BatchWriter(schema, "s").write(Batch(0, 1, readings(1)))
    BatchWriter(schema, "s").write(Batch(0, 1, readings(1)))


@pytest.mark.slow
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(4, 40), min_size=1, max_size=3),
    stop_after=st.integers(0, 3),
    lose_answer=st.booleans(),
)
def test_any_batch_size_and_interruption_gives_the_same_layers(
    schema: Client, sizes: list[int], stop_after: int, lose_answer: bool
) -> None:
    for name in [*LAYERS, "ingestion_ledger"]:
        schema.command(f"TRUNCATE TABLE {name}")
    # TRUNCATE does not clear the deduplication window, so each example needs a new source name.
    name = f"s{schema.query('SELECT generateUUIDv4()').result_rows[0][0]}"
    table = readings(30, step_s=1200)
    for size in [*sizes, 15]:
        writer = BatchWriter(schema, name)
        for count, (start, stop) in enumerate(writer.ranges_to_write(0, 30, size)):
            if size is not sizes[-1] and count >= stop_after and lose_answer:
                with pytest.MonkeyPatch.context() as patch:
                    lost = failing(schema.raw_insert, DatabaseError("lost", code=60), after=True)
                    patch.setattr(schema, "raw_insert", lost)
                    # After a lost answer the batch is in L1: nothing is inserted, so no second answer can be lost.
                    with contextlib.suppress(DatabaseError):
                        writer.write(Batch(start, stop, table.slice(start, stop - start)))
                break
            writer.write(Batch(start, stop, table.slice(start, stop - start)))
    found = contents(schema)
    bad = sum(1 for n in range(30) if n % 7 == 0)
    assert found["l1_power_raw"][0] == 30
    assert found["power_quarantine"][0] == bad
    assert found["l2_power_cleaned"] == found["l3_power_by_version"]
    assert found["readings"] == 30 - bad
    energy = sum(float(n % 50) for n in range(30) if n % 7)
    assert found["l4_power_hourly_by_version"][1] == found["l2_power_cleaned"][1] == energy
