"""Additions of operators to tables that a version replaces are named, and nothing is replaced until they are moved."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse import migrations
from iot_platform.clickhouse.drift import schema_drift
from iot_platform.clickhouse.migrations import migrate
from iot_platform.clickhouse.statements import read_migrations, split_statements
from iot_platform.errors import MigrationError, WaitingMigrationError
from iot_platform.layers import filling
from iot_platform.layers.catalog import DERIVED_LAYERS
from iot_platform.layers.proof import prove_all
from iot_platform.layers.status import unverified_by_layer
from iot_platform.layers.upgrade import upgrade
from iot_platform.settings import Settings
from iot_platform_tests.clickhouse.evolution import EXAMPLE
from iot_platform_tests.layers.old_schema import OldSettings, insert, old_database, prove_old

pytestmark = pytest.mark.slow

# What schema evolution of the version before had an operator write, for L1, L2 and L3.
VOLTAGE = """
ALTER TABLE l3_power_joined ADD COLUMN IF NOT EXISTS voltage Nullable(Float32);
ALTER TABLE l2_power_cleaned ADD COLUMN IF NOT EXISTS voltage Nullable(Float32);
ALTER TABLE l1_power_raw ADD COLUMN IF NOT EXISTS voltage Nullable(Float32);
ALTER TABLE mv_l2_to_l3 MODIFY QUERY
WITH
    if(timestamp >= dictGet('device_current', 'valid_from', device_id),
       dictGet('device_current',
               ('customer_id', 'building_type', 'latitude', 'longitude', 'has_metadata', 'time_zone'), device_id),
       dictGet('device_history',
               ('customer_id', 'building_type', 'latitude', 'longitude', 'has_metadata', 'time_zone'), device_id,
               timestamp)
    ) AS version
SELECT timestamp, device_id, power_usage_kWh, version.1 AS customer_id, version.2 AS building_type,
    version.3 AS latitude, version.4 AS longitude, version.5 AS has_metadata, ingested_at, version.6 AS time_zone,
    toDateTime(toString(timestamp, version.6), 'UTC') AS local_time, voltage
FROM l2_power_cleaned;
ALTER TABLE mv_l1_to_l2 MODIFY QUERY
SELECT timestamp, device_id, power_usage_kWh + 0 AS power_usage_kWh, ingested_at, voltage
FROM l1_power_raw
WHERE reject_reason = ''
ORDER BY device_id, timestamp, ingested_at DESC, power_usage_kWh DESC, voltage DESC
LIMIT 1 BY device_id, timestamp;
"""


@pytest.fixture
def old(client: Client, tmp_path: Path) -> Client:
    """A database of the version before, with metadata and readings."""
    (tmp_path / "old").mkdir()
    old_database(client, tmp_path / "old")
    insert(client, 1)
    return client


@pytest.fixture
def settings(tmp_path: Path) -> OldSettings:
    """Settings with a copy of sql/, to which an operator's files are added."""
    shutil.copytree(Settings().sql_dir, tmp_path / "sql")
    return OldSettings(directory=tmp_path / "sql")


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("ALTER TABLE l4_power_agg_hourly_store ADD COLUMN mine UInt8", "column l4_power_agg_hourly_store.mine"),
        ("ALTER TABLE l3_power_joined ADD PROJECTION mine (SELECT count())", "projection l3_power_joined"),
        ("ALTER TABLE l3_power_joined MODIFY TTL timestamp + INTERVAL 90 YEAR", "TTL l3_power_joined"),
        (
            "CREATE MATERIALIZED VIEW mine ENGINE = MergeTree ORDER BY () AS SELECT device_id FROM l3_power_joined",
            "materialized view {database}.mine from l3_power_joined",
        ),
        (
            "CREATE VIEW mine AS SELECT dictGet('device_current', 'customer_id', device_id) FROM l2_power_cleaned",
            "use of device_current or device_history mine",
        ),
        (
            "CREATE OR REPLACE VIEW l4_power_agg_hourly AS SELECT *, 1 AS mine FROM l4_power_agg_hourly_store FINAL",
            "column l4_power_agg_hourly.mine",
        ),
    ],
)
def test_it_is_named_and_nothing_is_begun(old: Client, statement: str, named: str) -> None:
    old.command(statement)
    with pytest.raises(WaitingMigrationError, match="it lists them and says what to do"):
        migrate(old, Settings())
    expected = f"- {named.format(database=old.database)} .*together with {filling.NEW_TABLES}"
    with pytest.raises(MigrationError, match=f"(?s){expected}"):
        upgrade(old, Settings())
    assert old.command("EXISTS TABLE l3_power_by_version") == 0
    assert len(filling.plan(old, migrations.pending(old, Settings())).own_objects) == 1


def test_own_views_that_stay_right_are_no_obstacle(old: Client) -> None:
    old.command("CREATE VIEW mine AS SELECT * FROM l3_power_joined")
    old.command(
        "CREATE MATERIALIZED VIEW other ENGINE = MergeTree ORDER BY () AS SELECT device_id FROM l2_power_cleaned"
    )
    upgrade(old, Settings())
    [[in_view, in_layer]] = old.query("SELECT (SELECT count() FROM mine), count() FROM l3_power_joined").result_rows
    assert in_view == in_layer > 0


def test_a_view_that_is_made_meanwhile_stops_the_switch(old: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    fill = filling.fill

    def fill_and_add(*args: object) -> None:
        fill(*args)  # type: ignore[arg-type]
        old.command("CREATE MATERIALIZED VIEW mine ENGINE = MergeTree ORDER BY () AS SELECT * FROM l3_power_joined")

    monkeypatch.setattr("iot_platform.layers.upgrade.fill", fill_and_add)
    with pytest.raises(MigrationError, match=r"(?s)mine from l3_power_joined .*Nothing was replaced"):
        upgrade(old, Settings())
    old.command("DROP TABLE mine SYNC")
    upgrade(old, Settings())


def test_an_own_column_is_moved_with_its_values(old: Client, settings: OldSettings) -> None:
    sql = settings.sql_dir
    # The version before had this file applied before there was 090.
    (sql / "900_voltage.sql").write_text(VOLTAGE)
    for statement in split_statements(VOLTAGE):
        old.command(statement)
    [mine] = [found for found in read_migrations(sql) if found.name == "900_voltage.sql"]
    old.insert("schema_migrations", [[mine.name, mine.checksum]], column_names=["name", "checksum"])
    old.command(
        "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh, voltage) "
        "SELECT toDateTime('2026-03-27 00:00:00', 'UTC') + 61 * number, 1 + number % 50, 1, 220 + number % 20 "
        "FROM numbers(1000)"
    )
    prove_old(old)
    with pytest.raises(MigrationError, match=r"- column l3_power_joined.voltage"):
        upgrade(old, settings)

    # As docs/schema-evolution.md says.
    tables, views = EXAMPLE.read_text().split("-- Replaced in one step", 1)
    for name in ("mv_l2_to_l3", "mv_l3_to_l4_hourly"):
        tables = tables.replace(f"ALTER TABLE {name} ", f"ALTER TABLE {name}_by_version ")
    (sql / "901_voltage_in_new_tables.sql").write_text(f"-- together with {filling.NEW_TABLES}\n{tables}")
    (sql / "902_voltage_in_views.sql").write_text("-- Replaced in one step" + views)
    assert {"901_voltage_in_new_tables.sql", "902_voltage_in_views.sql"} < set(upgrade(old, settings))

    query = "SELECT count(voltage), sum(voltage) FROM {}"
    found = [old.query(query.format(name)).result_rows for name in ("l2_power_cleaned", "l3_power_joined")]
    assert found[0] == found[1] and found[0][0][0] > 900
    assert old.query("SELECT count(min_voltage) > 0 FROM l4_power_agg_hourly").result_rows == [(True,)]
    assert all(not proof.was_rebuilt for proof in prove_all(old))
    assert unverified_by_layer(old, DERIVED_LAYERS) == {layer: [] for layer in DERIVED_LAYERS}
    # The check of the schema applies the files in the order of this database.
    assert [name for name, _ in schema_drift(old, settings) if "power" in name or name.startswith("mv_")] == []
