"""A proof leaves out the sort of L2's definition only where it changes nothing: it finds what the whole text finds."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iot_platform.clickhouse.client import quoted
from iot_platform.layers import partitions as sizes
from iot_platform.layers.catalog import CHAIN_TABLES, L2, RAW_TABLE
from iot_platform.layers.comparison import compare
from iot_platform.layers.definition import Definition, PartitionFingerprint
from iot_platform.layers.partitions import TableState, table_states
from iot_platform.layers.proof import prove_partitions
from iot_platform.layers.unsorted import Unsorted, without_sort

DAY = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
PARTITIONS = ["20260105", "20260106", "20260107"]
COLUMNS = ["timestamp", "device_id", "power_usage_kWh", "ingested_at"]

SELECT = "SELECT timestamp, device_id, kWh + 0 AS kWh FROM iot.l1 WHERE reject_reason = ''"
SORT = "ORDER BY device_id ASC, timestamp ASC, ingested_at DESC"
LIMIT = "LIMIT 1 BY device_id, timestamp"


def test_the_text_before_the_sort_is_taken() -> None:
    assert without_sort(f"{SELECT} {SORT} {LIMIT}") == Unsorted(SELECT, ("device_id", "timestamp"))


@pytest.mark.parametrize(
    "select",
    [
        SELECT,
        f"{SELECT} {SORT}",
        f"{SELECT} {LIMIT}",
        f"{SELECT} {SORT} LIMIT 2 BY device_id, timestamp",
        f"{SELECT} {SORT} LIMIT 1, 1 BY device_id, timestamp",
        f"{SELECT} {SORT} {LIMIT} LIMIT 10",
        f"{SELECT} {SORT} {LIMIT} SETTINGS max_threads = 1",
        f"{SELECT} {SORT} LIMIT 1 BY ALL",
        f"{SELECT} {SORT} LIMIT 1 BY toStartOfHour(timestamp)",
        f"{SELECT} {SORT} LIMIT 1",
        f"{SELECT} {SORT} LIMIT 1 BY kWh",
        f"{SELECT} {SORT} LIMIT 1 BY ingested_at",
        f"{SELECT} ORDER BY timestamp ASC WITH FILL {LIMIT}",
        f"{SELECT} ORDER BY f(timestamp) ASC {LIMIT}",
        f"{SELECT} GROUP BY device_id {SORT} {LIMIT}",
        f"{SELECT} UNION ALL {SELECT} {SORT} {LIMIT}",
        f"{SELECT} AND device_id IN (SELECT 1) {SORT} {LIMIT}",
        f"WITH 1 AS one {SELECT} {SORT} {LIMIT}",
        f"{SELECT.replace('SELECT', 'SELECT DISTINCT')} {SORT} {LIMIT}",
        f"{SELECT.replace('device_id', 'device_id % 2 AS device_id')} {SORT} {LIMIT}",
        f"{SELECT.replace('kWh + 0', 'row_number() OVER ()')} {SORT} {LIMIT}",
        f"{SELECT.replace('kWh + 0', '(kWh AS timestamp)')} {SORT} {LIMIT}",
        f"SELECT * FROM (SELECT 1) WHERE 1 {SORT} {LIMIT}",
        f"SELECT timestamp, device_id FROM iot.l1 {SORT} {LIMIT}",
        "",
    ],
)
def test_another_text_is_not_cut(select: str) -> None:
    assert without_sort(select) is None


def test_the_sort_runs_only_for_days_with_duplicates(schema: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_days: list[str] = []
    whole = Definition.expected

    def expected(
        self: Definition, partitions: Sequence[str], *, source: str | TableState | None = None
    ) -> dict[str, PartitionFingerprint]:
        sorted_days.extend(partitions)
        return whole(self, partitions, source=source)

    monkeypatch.setattr(Definition, "expected", expected)
    rows = [(DAY + dt.timedelta(days=day), device, 1.0, DAY) for day in range(3) for device in range(1, 9)]
    schema.insert(RAW_TABLE, [*rows, rows[0]], column_names=COLUMNS)
    proofs = prove_partitions(schema, L2, PARTITIONS)
    assert [(proof.was_rebuilt, proof.duplicates) for proof in proofs] == [(False, 1), (False, 0), (False, 0)]
    assert sorted_days == PARTITIONS[:1]


@pytest.mark.parametrize("key", ["timestamp", "device_id"])
def test_a_changed_definition_is_proved_as_it_is(schema: Client, key: str) -> None:
    """One reading per device, or per time: another key than that of the platform."""
    schema.command(
        f"ALTER TABLE {L2.view} MODIFY QUERY SELECT timestamp, device_id, power_usage_kWh, ingested_at "
        f"FROM {RAW_TABLE} WHERE reject_reason = '' ORDER BY device_id, timestamp LIMIT 1 BY {key}"
    )
    for device in (1, 2):
        for minute in (1, 2):
            schema.insert(RAW_TABLE, [(DAY + dt.timedelta(minutes=minute), device, 1.0, DAY)], column_names=COLUMNS)
    assert [proof.was_rebuilt for proof in prove_partitions(schema, L2, PARTITIONS[:1])] == [True]
    assert schema.query(f"SELECT count() FROM {L2.table}").first_row == (2,)


readings = st.tuples(
    st.builds(lambda day, minute: DAY + dt.timedelta(days=day, minutes=minute), st.integers(0, 2), st.integers(0, 2)),
    st.integers(0, 4),
    st.sampled_from([0.0, -0.0, 1.5, 2.5, -1.0, 500.0, float("nan")]),
    st.sampled_from([DAY + dt.timedelta(days=4), DAY + dt.timedelta(days=4, microseconds=1)]),
)
batches = st.lists(st.lists(readings, min_size=1, max_size=12), min_size=1, max_size=3)
without_duplicates = st.lists(
    st.lists(readings, min_size=1, max_size=12, unique_by=lambda row: row[:2]), min_size=1, max_size=1
)
# What may happen to L2: each changes rows, or puts some back in another way.
DAMAGE = [
    "DELETE FROM {l2} WHERE device_id = 1",
    "ALTER TABLE {l2} UPDATE power_usage_kWh = 9 WHERE device_id = 1",
    "ALTER TABLE {l2} UPDATE power_usage_kWh = -0. WHERE power_usage_kWh = 0",
    "ALTER TABLE {l2} UPDATE ingested_at = ingested_at + toIntervalMicrosecond(1) WHERE device_id = 2",
    "INSERT INTO {l2} SELECT * FROM {l2} LIMIT 1",
    "INSERT INTO {l2} SELECT timestamp, 77, power_usage_kWh, ingested_at FROM {l2} LIMIT 1",
    # As many rows as before: one is lost, another is there twice.
    "INSERT INTO {l2} SELECT * FROM {l2} ORDER BY timestamp, device_id LIMIT 1; "
    "DELETE FROM {l2} WHERE (timestamp, device_id) IN "
    "(SELECT timestamp, device_id FROM {l2} ORDER BY timestamp DESC, device_id DESC LIMIT 1)",
    # All that L1 has, duplicates included.
    "TRUNCATE TABLE {l2}; INSERT INTO {l2} SELECT timestamp, device_id, power_usage_kWh + 0, ingested_at FROM {l1} "
    "WHERE reject_reason = ''",
]


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    sent=batches | without_duplicates,
    repaired=st.booleans(),
    damage=st.sampled_from(["", *DAMAGE]),
    merged=st.booleans(),
    rows_per_query=st.sampled_from([2, 5, 1000]),
)
def test_a_proof_finds_what_differs_from_the_whole_definition(
    schema: Client,
    sent: list[list[tuple[dt.datetime, int, float, dt.datetime]]],
    repaired: bool,
    damage: str,
    merged: bool,
    rows_per_query: int,
) -> None:
    for table in CHAIN_TABLES:
        schema.command(f"TRUNCATE TABLE {table}")
    for batch in sent:
        schema.insert(RAW_TABLE, batch, column_names=COLUMNS)
    if repaired:
        prove_partitions(schema, L2, PARTITIONS)
    for statement in filter(None, damage.format(l1=RAW_TABLE, l2=L2.table).split("; ")):
        schema.command(statement, settings={"mutations_sync": 1, "max_partitions_per_insert_block": 0})
    if merged:
        schema.command(f"OPTIMIZE TABLE {L2.table} FINAL")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "ROWS_PER_QUERY", rows_per_query)
        definition = Definition(schema, L2)
        _, states = table_states(schema, [RAW_TABLE, L2.table])
        whole = definition.expected(PARTITIONS)
        found, duplicates = definition.expected_beside(
            definition.actual(PARTITIONS), states[RAW_TABLE], states[L2.table]
        )
        proofs = compare(schema, definition, PARTITIONS)
    assert found == whole
    assert duplicates == definition.duplicates(whole)
    right = {name: rows_of(schema, f"({definition_text(schema)})", name) for name in PARTITIONS}
    stored = {name: rows_of(schema, quoted(L2.table), name) for name in PARTITIONS}
    assert {name: proof.is_equal for name, proof in proofs.items()} == {
        name: right[name] == stored[name] for name in PARTITIONS
    }


def definition_text(client: Client) -> str:
    return str(
        client.query(
            "SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = 'mv_l1_to_l2'"
        ).result_rows[0][0]
    )


def rows_of(client: Client, relation: str, partition: str) -> Counter[tuple[object, ...]]:
    """The rows of a day, exactly: -0 is not 0."""
    rows = client.query(
        f"SELECT timestamp, device_id, reinterpretAsUInt64(power_usage_kWh), ingested_at FROM {relation} "
        f"WHERE toString(toYYYYMMDD(timestamp)) = '{partition}'"
    ).result_rows
    return Counter(map(tuple, rows))
