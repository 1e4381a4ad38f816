"""The schema before sql/090, and readings that are hard for it: the new one must hold the same."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.blocks import insert_block
from iot_platform.clickhouse.client import server_time
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.migrations import migrate
from iot_platform.clickhouse.rows import insert_rows
from iot_platform.layers.catalog import DERIVED_LAYERS, L2, L3, QUARANTINE, Layer
from iot_platform.layers.comparison import Proof
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.proof import prove_all
from iot_platform.layers.status import unverified_by_layer
from iot_platform.readings.arrival_times import with_arrival_times
from iot_platform.readings.prepared_batch import sum_finite
from iot_platform.settings import Settings
from iot_platform_tests.databases import client_of, fresh_database

NEW_FROM = "090"
FIRST = dt.datetime(2026, 3, 26, tzinfo=dt.UTC)
DAYS = 12
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Asia/Kathmandu"]
ZONES += ["America/St_Johns", "UTC", "Africa/Casablanca", "Nowhere/Land", ""]
# Versions since ever and from a day in the readings on, two of some devices; some are removed from then on.
DEVICES = """
INSERT INTO device_metadata
    (device_id, customer_id, building_type, latitude, longitude, time_zone, valid_from, is_removed)
SELECT
    number % 600 + if(number % 600 < 5, 3000000000, 1), concat('C', toString(number % 140)),
    ['residential', 'office', 'retail', 'school', 'unknown'][number % 5 + 1],
    round(48 + number % 701 / 100, 5), round(7 + number % 803 / 100, 5),
    {zones:Array(String)}[number % 10 + 1],
    if(number < 600,
       toDateTime(if(number % 50 = 9, '2026-03-20 00:00:00', '1970-01-01 00:00:00'), 'UTC'),
       toDateTime('2026-03-28 00:00:00', 'UTC') + number % 200 * 3600),
    number % 97 = 5
FROM numbers(900)
"""
# The columns of the original design, and those that were added before 090.
CONTENTS = {
    "l2_power_cleaned": "SELECT * FROM l2_power_cleaned ORDER BY ALL",
    "power_quarantine": "SELECT toString(timestamp), device_id, reinterpretAsUInt64(power_usage_kWh), "
    "toString(ingested_at), toString(reject_reason) FROM power_quarantine ORDER BY ALL",
    "l3_power_joined": "SELECT timestamp, device_id, power_usage_kWh, customer_id, toString(building_type), latitude, "
    "longitude, has_metadata, ingested_at, toString(time_zone), local_time FROM l3_power_joined ORDER BY ALL",
    "l4_power_agg_hourly": "SELECT ts_hour, device_id, customer_id, toString(building_type), latitude, longitude, "
    "has_metadata, total_kWh, avg_kWh, readings, max_kWh, local_hour, toString(time_zone) FROM l4_power_agg_hourly "
    "ORDER BY ALL",
    "l4_power_by_building_type_hourly": "SELECT ts_hour, local_hour, toString(building_type) AS type, has_metadata, "
    "sum(total_kWh), sum(readings), max(max_kWh) FROM l4_power_by_building_type_hourly GROUP BY ALL ORDER BY ALL",
    "l4_power_by_device_daily": "SELECT ts_hour, device_id, customer_id, toString(building_type) AS type, latitude, "
    "longitude, has_metadata, sum(total_kWh), sum(readings), max(max_kWh) FROM l4_power_by_device_daily "
    "GROUP BY ALL ORDER BY ALL",
}


# The layers of that version, for its proofs.
OLD_LAYERS = (
    L2,
    QUARANTINE,
    Layer("l3_power_joined", "l3_power_joined", "mv_l2_to_l3", L2.table, L3.kWh_sql, lookup_tables=L3.lookup_tables),
    *(
        Layer(name, table, view, "l3_power_joined", "sum(total_kWh)", "sum(readings)", True, False, (), "ts_hour")
        for name, table, view in (
            ("l4_power_agg_hourly", "l4_power_agg_hourly_store", "mv_l3_to_l4_hourly"),
            ("l4_power_by_device_daily", "l4_power_by_device_daily", "mv_l3_to_l4_by_device"),
        )
    ),
    Layer(
        "l4_power_by_building_type_hourly",
        "l4_power_by_building_type_hourly",
        "mv_l3_to_l4_by_building_type",
        "l3_power_joined",
        "sum(total_kWh)",
        "sum(readings)",
        needs_final=True,
        time_column="ts_hour",
        source_piece_key="toStartOfHour(timestamp)",
        table_piece_key="ts_hour",
    ),
)


def prove_old(client: Client, *, only_unverified: bool = False) -> list[Proof]:
    """Prove the layers as that version did: it has no numbers of versions to give."""
    with mock.patch("iot_platform.layers.proof.take_up_manual_changes", server_time):
        return list(prove_all(client, layers=OLD_LAYERS, only_unverified=only_unverified))


_LEDGER_COLUMNS = ["source", "position_from", "position_to", "state", "token", "ingested_at", "readings", "total_kWh"]
_LEDGER_COLUMNS += ["first_timestamp", "last_timestamp", "description"]


class OldSettings(Settings):
    """Settings with the .sql files from before 090."""

    directory: Path

    @property
    def sql_dir(self) -> Path:
        return self.directory


def migrate_to_old(client: Client, directory: Path) -> None:
    """Apply the migrations before 090 to the client's database."""
    for file in Settings().sql_dir.glob("*.sql"):
        if file.name < NEW_FROM:
            shutil.copy(file, directory)
    migrate(client, OldSettings(directory=directory))


def reload_old_dictionaries(client: Client) -> None:
    """What the platform of that version did after a change of metadata."""
    for name in ("device_current", "device_history", "device_limits", "reading_time_limits"):
        client.command(f"SYSTEM RELOAD DICTIONARY {name}")


def old_database(client: Client, directory: Path) -> Client:
    """Make the client's database one of the version before, with metadata."""
    migrate_to_old(client, directory)
    insert_devices(client)
    reload_old_dictionaries(client)
    return client


def insert_devices(client: Client) -> None:
    """The metadata of 600 devices; the dictionaries are not reloaded."""
    client.command(DEVICES, parameters={"zones": ZONES})


def hard_readings(seed: int, rows: int = 20_000) -> pa.Table:
    """Readings with duplicates, 0 and -0, NaN, infinities, negative and too large values, impossible times, and devices
    without metadata, over both clock changes of the northern spring.
    """
    random = np.random.default_rng(seed)
    start = int(FIRST.timestamp())
    times = (
        start + random.integers(0, DAYS * 144, rows) * 600 + random.integers(0, 2, rows) * random.integers(0, 600, rows)
    )
    devices = random.integers(0, 650, rows)
    devices = np.where(devices < 5, 3_000_000_000 + devices, devices)
    values = random.gamma(2, 0.25, rows).round(3)
    kind = random.random(rows)
    for share, value in enumerate((np.nan, -1, np.inf, 1000, 0.0, -0.0)):
        values[(kind > share / 50) & (kind < (share + 1) / 50)] = value
    times[(kind > 0.5) & (kind < 0.501)] = 1000
    times[(kind > 0.501) & (kind < 0.503)] = 4_000_000_000
    tenth = rows // 10
    times[:tenth], devices[:tenth] = times[tenth : 2 * tenth], devices[tenth : 2 * tenth]
    same = random.random(tenth) < 0.5
    values[:tenth][same] = values[tenth : 2 * tenth][same]
    # No two batches arrive at the same time.
    arrived = np.full(rows, (start + DAYS * 86_400) * 1_000_000 + 1000 * seed)
    arrived[:tenth] += random.integers(0, 2, tenth)
    return pa.table(
        {
            "timestamp": pa.array(times.astype(np.int64)).cast(pa.timestamp("s", "UTC")),
            "device_id": pa.array(devices.astype(np.uint32)),
            "power_usage_kWh": pa.array(values),
            "ingested_at": pa.array(arrived).cast(pa.timestamp("us", "UTC")),
        }
    )


def write(client: Client, source: str, number: int, readings: pa.Table, *, is_answered: bool = True) -> None:
    """Write batch ``number`` of a source and its ledger entries, as the writer of that version did.

    Not ``is_answered``: as a writer does that is killed before the answer.
    """
    token = f"{source}/{number}-{number + 1}"
    count, kWh = readings.num_rows, sum_finite(readings["power_usage_kWh"])
    first, last = _time_range(readings)
    arrived_at = pc.min(readings["ingested_at"]).as_py()
    rows = with_arrival_times(readings.drop_columns(["ingested_at"]), arrived_at)
    values = [source, number, number + 1, "sending", token, arrived_at, count, kWh, first, last, "an old writer"]
    insert_rows(client, "ingestion_ledger", [values], _LEDGER_COLUMNS)
    insert_block(client, "l1_power_raw", rows, token=token)
    if is_answered:
        values[3] = "committed"
        insert_rows(client, "ingestion_ledger", [values], _LEDGER_COLUMNS)


def _time_range(readings: pa.Table) -> tuple[dt.datetime, dt.datetime]:
    times = pc.min_max(readings["timestamp"].cast(pa.timestamp("s", "UTC")))
    return times["min"].as_py(), times["max"].as_py()


def insert(client: Client, seed: int) -> None:
    """Insert hard readings into L1, as the writer does."""
    insert_block(client, "l1_power_raw", hard_readings(seed), token=f"batch {seed}")


def assert_equal_to_a_new_one(migrated: Client, server: Endpoint) -> None:
    """Every layer of a migrated database is what a new one makes of the same readings, and is verified."""
    proofs = list(prove_all(migrated))
    assert all(proof.is_equal for proof in proofs)
    assert unverified_by_layer(migrated, DERIVED_LAYERS) == {layer: [] for layer in DERIVED_LAYERS}
    with fresh_database(server) as name, client_of(server, name) as new:
        migrate(new, Settings())
        for table in ("device_metadata", "l1_power_raw"):
            columns = "* EXCEPT (reject_reason, source, position_from, position_to)" if table == "l1_power_raw" else "*"
            names = ", ".join(new.query(f"SELECT {columns} FROM {table} LIMIT 0").column_names)
            new.command(
                f"INSERT INTO {table} ({names}) SELECT {names} FROM {migrated.database}.{table} "
                "SETTINGS max_partitions_per_insert_block = 0"
            )
            reload_dictionaries(new)
        list(prove_all(new))
        assert contents(new) == contents(migrated)


def contents(client: Client) -> dict[str, list[tuple[object, ...]]]:
    """The rows of all layers."""
    return {name: list(map(tuple, client.query(query).result_rows)) for name, query in CONTENTS.items()}
