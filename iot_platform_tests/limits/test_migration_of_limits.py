"""A home with limits from before they followed the type of the reading's time."""

from __future__ import annotations

import shutil
from pathlib import Path

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.migrations import migrate
from iot_platform.clickhouse.statements import read_migrations
from iot_platform.layers.catalog import DERIVED_LAYERS, L2, QUARANTINE
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.proof import prove_all
from iot_platform.layers.status import unverified_partitions
from iot_platform.limits.limit_history import logged_limits
from iot_platform.limits.power_limits import Limit, limits
from iot_platform.settings import Settings
from iot_platform_tests.layers.old_schema import OldSettings

NEW = "101_limits_of_the_time.sql"
# Device 1 was a kiosk until 2026-01-04, device 2 always is one; 3 has a limit of its own.
FILLING = [
    "SYSTEM STOP MERGES power_limits",
    "INSERT INTO power_limits (scope, key, max_kWh) VALUES ('default', '', 70)",
    "INSERT INTO power_limits (scope, key, max_kWh) VALUES "
    "('default', '', 80), ('building_type', 'kiosk', 5), ('device', '3', 9)",
    "INSERT INTO time_limits (name, value_s) VALUES ('max_future', 1200)",
    "INSERT INTO device_metadata (device_id, customer_id, building_type, latitude, longitude, valid_from) VALUES "
    "(1, 'c', 'kiosk', 51.5, 0, 0), (1, 'c', 'flat', 51.5, 0, '2026-01-04 00:00:00'), (2, 'c', 'kiosk', 51.5, 0, 0)",
]
READINGS = (
    "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) SELECT toDateTime('2026-01-01', 'UTC') + "
    "86400 * number + reading.3, reading.1, reading.2 FROM numbers(6) ARRAY JOIN "
    "[(1, 3., 0), (1, if(number = 2, 6., 4.), 60), (2, 6., 0), (3, 8., 0), (4, 79., 0), (4, 81., 60)] AS reading"
)


def test_only_days_that_are_judged_otherwise_become_unverified(client: Client, tmp_path: Path) -> None:
    for file in Settings().sql_dir.glob("*.sql"):
        if file.name < NEW:
            shutil.copy(file, tmp_path)
    migrate(client, OldSettings(directory=tmp_path))
    for statement in FILLING:
        client.command(statement)
    reload_dictionaries(client)
    client.command(READINGS)
    assert all(proof.is_equal for proof in prove_all(client))
    before = client.query("SELECT * FROM l2_power_cleaned ORDER BY ALL").result_rows
    raw = client.query("SELECT timestamp, device_id, power_usage_kWh, ingested_at FROM l1_power_raw ORDER BY ALL")

    assert NEW in migrate(client, Settings())
    [migration] = [file for file in read_migrations(Settings().sql_dir) if file.name == NEW]
    for statement in migration.statements():  # as after a migration that was killed
        client.command(statement)
    assert limits(client) == [
        Limit("default", "", 80),
        Limit("building_type", "kiosk", 5),
        Limit("device", "3", 9),
    ]
    assert [(row.scope, row.value) for row in logged_limits(client)] == [
        ("default", 70),
        ("building_type", 5),
        ("default", 80),
        ("device", 9),
        ("max_future", 1200),
    ]
    again = client.query("SELECT timestamp, device_id, power_usage_kWh, ingested_at FROM l1_power_raw ORDER BY ALL")
    assert again.result_rows == raw.result_rows
    assert client.query("SELECT * FROM l2_power_cleaned ORDER BY ALL").result_rows == before
    unverified = {layer: unverified_partitions(client, layer) for layer in DERIVED_LAYERS}
    assert unverified == {layer: ["20260103"] if layer in (L2, QUARANTINE) else [] for layer in DERIVED_LAYERS}
    rebuilt = {(proof.layer, proof.partition) for proof in prove_all(client, only_unverified=True) if proof.was_rebuilt}
    assert {partition for _, partition in rebuilt} == {"20260103"}
    assert all(proof.is_equal and not proof.was_rebuilt for proof in prove_all(client))
    gone = [row for row in before if row not in client.query("SELECT * FROM l2_power_cleaned").result_rows]
    assert [row[1:3] for row in gone] == [(1, 6.0)]
