"""The check that compares the database with sql/."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.drift import schema_drift
from iot_platform.clickhouse.migrations import migrate
from iot_platform.settings import Settings
from iot_platform_tests.defs.check_data import DAY, entries
from iot_platform_tests.defs.dagster_runs import run_checks


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_a_migration_of_a_users_own_is_not_a_manual_change(
    platform: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql_dir = tmp_path / "sql"
    shutil.copytree(Settings().sql_dir, sql_dir)
    own = "ALTER TABLE l3_power_by_version ADD COLUMN IF NOT EXISTS note String;\n"
    (sql_dir / "900_own.sql").write_text(own, encoding="utf-8")
    monkeypatch.setattr(Settings, "sql_dir", sql_dir)
    settings = Settings()
    migrate(platform, settings)
    assert schema_drift(platform, settings) == []


def test_manual_changes_of_the_schema_are_listed(platform: Client, instance: dg.DagsterInstance) -> None:
    assert run_checks(instance, "l1_power_raw", day=DAY)["schema_is_as_in_sql"].passed
    platform.command("ALTER TABLE l3_power_by_version ADD COLUMN note String")
    platform.command("ALTER TABLE l1_power_raw MODIFY TTL timestamp + INTERVAL 30 YEAR")
    platform.command("CREATE TABLE somebodys_own (note String) ENGINE = MergeTree ORDER BY ()")  # no matter
    platform.command(
        "CREATE OR REPLACE DICTIONARY device_limits (device_id UInt64, max_kWh Float64 DEFAULT 100, "
        "valid_from UInt32, starts Array(UInt32), limits Array(Float64)) "
        "PRIMARY KEY device_id SOURCE(CLICKHOUSE(TABLE 'device_limit_values')) LAYOUT(HASHED()) LIFETIME(0)"
    )
    platform.command("ALTER TABLE power_quarantine MODIFY COLUMN reject_reason String")
    platform.command("DROP VIEW mv_l2_to_l3")
    platform.command(
        "ALTER TABLE mv_l1_to_quarantine MODIFY QUERY SELECT timestamp, device_id, power_usage_kWh, ingested_at, "
        "reject_reason FROM l1_power_raw WHERE reject_reason = 'negative'"
    )
    found = run_checks(instance, "l1_power_raw", day=DAY)["schema_is_as_in_sql"]
    assert not found.passed
    told = entries(found)["offenders"]
    assert "| mv_l2_to_l3 | is missing |" in told and "| mv_l1_to_quarantine | `is MaterializedView AS SELECT" in told
    assert "column reject_reason is String" in told and "somebodys_own" not in told
    assert "| l3_power_by_version | has the column note, which sql/ does not create |" in told
    assert "TTL timestamp + toIntervalYear(30)" in told and "LAYOUT(HASHED())" in told
    left = platform.query("SELECT name FROM system.databases WHERE startsWith(name, 'iot_scratch_')").result_rows
    assert left == []
