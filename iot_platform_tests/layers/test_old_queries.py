"""Queries for the tables of the version before give the same answers on a migrated database."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.statements import split_statements
from iot_platform.layers.upgrade import upgrade
from iot_platform.settings import Settings
from iot_platform_tests.layers.old_schema import insert, old_database

pytestmark = pytest.mark.slow

QUERIES = list(split_statements(Path(__file__).with_name("old_queries.sql").read_text()))
TABLES = [
    "l1_power_raw",
    "l2_power_cleaned",
    "power_quarantine",
    "l3_power_joined",
    "l4_power_agg_hourly",
    "l4_power_agg_hourly_store",
    "l4_power_by_building_type_hourly",
    "l4_power_by_device_daily",
    "device_metadata",
    "device_current_versions",
]


def answers(client: Client) -> list[tuple[tuple[str, ...], list[tuple[object, ...]]]]:
    found = [client.query(query) for query in QUERIES]
    return [(result.column_names, [tuple(map(_rounded, row)) for row in result.result_rows]) for result in found]


def _rounded(value: object) -> object:
    # A sum of floats depends on the order of the rows.
    return round(value, 9) if isinstance(value, float) else value


def columns(client: Client) -> dict[str, list[tuple[str, str]]]:
    """Names and types of the columns that ``SELECT *`` shows."""
    found = {table: client.query(f"DESCRIBE TABLE {table}").result_rows for table in TABLES}
    # These stand for the type in brackets.
    wrapped = re.compile(r"LowCardinality\((.*)\)|SimpleAggregateFunction\(\w+, (.*)\)")

    def plain(name: str) -> str:
        match = wrapped.fullmatch(name)
        return plain(match[1] or match[2]) if match else name

    return {
        table: [(row[0], plain(row[1])) for row in rows if row[2] not in ("MATERIALIZED", "ALIAS")]
        for table, rows in found.items()
    }


def test_old_queries_give_the_same_answers(client: Client, tmp_path: Path) -> None:
    old_database(client, tmp_path)
    for seed in range(3):
        insert(client, seed)
    answers_before, columns_before = answers(client), columns(client)
    upgrade(client, Settings())
    assert answers(client) == answers_before
    assert all(rows for _, rows in answers_before)
    # The same columns in the same order; further ones come last.
    for table, found in columns(client).items():
        assert found[: len(columns_before[table])] == columns_before[table], table


def test_final_becomes_a_setting(client: Client, tmp_path: Path) -> None:
    old_database(client, tmp_path)
    for seed in range(2):
        insert(client, seed)
    names = ("l4_power_by_building_type_hourly", "l4_power_by_device_daily", "l4_power_agg_hourly_store")
    combined = {name: client.query(f"SELECT sum(readings), count() FROM {name} FINAL").result_rows for name in names}
    upgrade(client, Settings())
    # The mart by building type has the zone, too.
    combined[names[0]] = client.query("SELECT sum(readings), count() FROM l4_power_hourly_by_type FINAL").result_rows
    for name, rows in combined.items():
        assert client.query(f"SELECT sum(readings), count() FROM {name} SETTINGS final = 1").result_rows == rows
