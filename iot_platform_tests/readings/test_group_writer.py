"""Batches of several sources are written together, and each of them exactly once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from iot_platform.clickhouse import retries
from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.layers.proof import prove_all
from iot_platform.readings import exactly_once
from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.group_writer import GroupWriter, SourceBatch
from iot_platform.readings.prepared_batch import Batch
from iot_platform.readings.shared_writer import SharedWriter
from iot_platform.readings.stream_writer import StreamWriter
from iot_platform.settings import Settings
from iot_platform_tests.readings.test_batch_writer import contents, failing, readings
from iot_platform_tests.readings.test_takeover import killed_at_insert

SOURCES = [f"s{number}" for number in range(5)]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE_S", 0.001)


def items(*sources: str, start: int = 0) -> list[SourceBatch]:
    """A batch of 20 readings of each source; all have the same meters and times."""
    return [SourceBatch(source, Batch(start, start + 20, readings(20))) for source in sources]


def counts(client: Client) -> dict[str, int]:
    """The readings of each source: by L1, which must be what the ledger says."""
    query = "SELECT source, {} FROM {} GROUP BY source ORDER BY source"
    in_l1 = client.query(query.format("count()", RAW_TABLE)).result_rows
    ledger = "(SELECT * FROM ingestion_ledger FINAL WHERE state = 'committed')"
    assert client.query(query.format("sum(readings)", ledger)).result_rows == in_l1
    return {str(source): int(count) for source, count in in_l1}


def test_batches_of_several_sources_are_one_block(schema: Client) -> None:
    with GroupWriter(schema) as writer:
        assert writer.write(items(*SOURCES)) == [20] * 5
        # Again, with a new one, one without readings, and two batches of a source.
        empty = SourceBatch("s0", Batch(40, 60, readings(0)))
        again = [*items("s0", "s1"), *items("new"), *items("s0", start=20), empty, *items("s1", start=20)]
        assert writer.write(again) == [0, 0, 20, 20, 0, 20]
    assert counts(schema) == {**dict.fromkeys(SOURCES, 20), "new": 20, "s0": 40, "s1": 40}
    blocks = schema.query(
        f"SELECT max(max_block_number) FROM system.parts WHERE database = currentDatabase() AND table = '{RAW_TABLE}'"
    ).result_rows[0][0]
    assert blocks == 2
    assert BatchWriter(schema, "s0").uncommitted_ranges(0, 70) == [(60, 70)]
    assert schema.query("SELECT DISTINCT state FROM ingestion_leases FINAL").result_rows == [("closed",)]
    assert all(proof.is_equal for proof in prove_all(schema))
    # Every reading arrived several times, and the one that arrived last counts.
    assert contents(schema)["l2_power_cleaned"][0] == sum(1 for n in range(20) if n % 7)


def bad_readings() -> pa.Table:
    """A time before 1970, which no DateTime can hold."""
    table = readings(2)
    return table.set_column(0, "timestamp", pa.array([-5, 5]).cast(pa.timestamp("s", "UTC")))


def test_one_bad_source_does_not_hold_up_the_others(schema: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    real = schema.raw_insert

    def insert(table: str, columns: Any, block: bytes, **options: Any) -> Any:
        if table == RAW_TABLE and b"refused" in block:
            raise DatabaseError("the server does not like this one", code=60)
        return real(table, columns, block, **options)

    monkeypatch.setattr(schema, "raw_insert", insert)
    with BatchWriter(schema, "held").exclusive(), GroupWriter(schema) as writer:
        writer.write(items("twice"))
        overlapping = SourceBatch("twice", Batch(5, 25, readings(20)))
        impossible = SourceBatch("impossible", Batch(0, 2, bad_readings()))
        results = writer.write([*items("good", "refused", "held"), overlapping, impossible, *items("better")])
    good, refused, held, twice, never, better = results
    assert (good, better) == (20, 20)
    assert isinstance(refused, DatabaseError) and isinstance(held, PlatformError) and isinstance(twice, ValueError)
    assert isinstance(never, Exception)
    assert counts(schema) == {"better": 20, "good": 20, "twice": 20}
    monkeypatch.setattr(schema, "raw_insert", real)
    with GroupWriter(schema) as writer:
        assert writer.write(items("refused", "held", "good")) == [20, 20, 0]
    assert counts(schema) == {"better": 20, "good": 20, "held": 20, "refused": 20, "twice": 20}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_lost_answer(schema: Client, monkeypatch: pytest.MonkeyPatch, after: bool, restarted: bool) -> None:
    if restarted:
        monkeypatch.setattr(exactly_once, "_started_at", lambda client: dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
    errors = [OperationalError("connection reset"), DatabaseError("too many parts", code=252)]
    monkeypatch.setattr(schema, "raw_insert", failing(schema.raw_insert, *errors, after=after))
    with GroupWriter(schema) as writer:
        assert writer.write(items(*SOURCES)) == [20] * 5
    assert counts(schema) == dict.fromkeys(SOURCES, 20)


@pytest.mark.parametrize("after", [False, True])
def test_a_killed_writer_of_a_group(schema: Client, after: bool) -> None:
    with killed_at_insert(schema, 2, after=after), GroupWriter(schema) as writer:
        writer.write(items(*SOURCES))
        writer.write(items(*SOURCES, start=20))
    where = "source = 's1' AND device_id = 2"
    schema.command(f"ALTER TABLE {RAW_TABLE} DELETE WHERE {where}", settings={"mutations_sync": 1})
    schema.command("ALTER TABLE ingestion_ledger DELETE WHERE source = 's2'", settings={"mutations_sync": 1})
    for source in SOURCES[:3]:
        for start in (0, 20):
            BatchWriter(schema, source).write(items(source, start=start)[0].batch)
    with GroupWriter(schema) as writer:
        writer.write(items(*SOURCES, start=20))
    assert counts(schema) == dict.fromkeys(SOURCES, 40)


def test_a_server_that_is_away_fails_all_and_nothing_is_lost(schema: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, GroupWriter(schema) as writer:
        errors = [OperationalError("connection refused")] * retries.ATTEMPTS
        patch.setattr(schema, "raw_insert", failing(schema.raw_insert, *errors, after=True))
        results = writer.write(items(*SOURCES))
        assert all(isinstance(result, OperationalError) for result in results)
        # The same batches again, by the same writer: they are compared with L1.
        assert writer.write(items(*SOURCES)) == [0] * 5
    assert counts(schema) == dict.fromkeys(SOURCES, 20)


def counting(real: Callable[..., Any], inserts: list[str]) -> Callable[..., Any]:
    def insert(self: Client, table: str, *args: Any, **options: Any) -> Any:
        inserts.append(table)
        return real(self, table, *args, **options)

    return insert


def test_streams_share_inserts(platform: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inserts: list[str] = []
    kind = type(platform)
    monkeypatch.setattr(kind, "raw_insert", counting(kind.raw_insert, inserts))
    settings = Settings(batch_age_s=0.01)
    with SharedWriter(settings) as writer:
        streams = [StreamWriter(settings, name, writer) for name in SOURCES]
        for _ in range(6):
            for stream in streams:
                stream.accept(readings(20))
        assert all([stream.close() for stream in streams])
    assert [count for count in counts(platform).values()] == [120] * 5
    assert 0 < inserts.count(RAW_TABLE) <= 20
    assert platform.query("SELECT DISTINCT state FROM ingestion_leases FINAL").result_rows == [("closed",)]


def test_a_closed_writer_refuses(platform: Client) -> None:
    with SharedWriter(Settings()) as writer:
        first = writer.submit(items("s")[0])
    assert first.result() == 20
    with pytest.raises(PlatformError, match="closed"):
        writer.submit(items("s", start=20)[0]).result()
    assert counts(platform) == {"s": 20}
