"""Numbers of metadata versions, and the clock of time zones."""

from __future__ import annotations

import datetime as dt
import random
import time
from unittest import mock
from zoneinfo import ZoneInfo, available_timezones

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.layers.catalog import BY_DEVICE_DAILY, BY_DEVICE_HOURLY, HOURLY_ROWS, L3
from iot_platform.layers.dictionaries import reload_dictionaries, take_up_manual_changes
from iot_platform.layers.proof import prove_all, prove_partitions
from iot_platform.layers.status import unverified_partitions
from iot_platform.layers.version_numbers import number_versions

COLUMNS = [
    "device_id",
    "customer_id",
    "building_type",
    "latitude",
    "longitude",
    "time_zone",
    "valid_from",
    "is_removed",
]
EVER, MARCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def store(client: Client, *rows: tuple[object, ...]) -> None:
    """Insert (device, customer, valid_from, is_removed) by hand and number them."""
    full = [[device, customer, "office", 1.0, 2.0, "UTC", start, removed] for device, customer, start, removed in rows]
    client.insert("device_metadata", full, column_names=COLUMNS)
    number_versions(client)


def numbers(client: Client) -> list[tuple[int, int, str, int]]:
    rows = client.query("SELECT version, device_id, customer_id, is_removed FROM device_metadata_versions ORDER BY 1")
    return [tuple(row) for row in rows.result_rows]


def version_at(client: Client, device: int, time: dt.datetime) -> int:
    """The version that a reading of a device gets."""
    client.insert("l2_power_cleaned", [[time, device, 1.0, time]])
    query = (
        "SELECT max(version) FROM l3_power_by_version WHERE device_id = {device:UInt32} AND timestamp = {time:DateTime}"
    )
    return int(client.query(query, parameters={"device": device, "time": time}).result_rows[0][0])


def test_numbers_are_dense_and_never_change(schema: Client) -> None:
    store(schema, (7, "a", EVER, 0), (5, "b", EVER, 0))
    assert numbers(schema) == [(1, 5, "b", 0), (2, 7, "a", 0)]
    number_versions(schema)
    store(schema, (7, "a", EVER, 0))
    assert len(numbers(schema)) == 2, "nothing has changed"
    store(schema, (7, "c", EVER, 0), (9, "d", MARCH, 0))
    store(schema, (7, "a", EVER, 0))
    assert numbers(schema)[2:] == [(3, 7, "c", 0), (4, 9, "d", 0), (5, 7, "a", 0)]


def write_by_hand(client: Client, customer: str) -> None:
    client.insert("device_metadata", [[7, customer, "office", 1.0, 2.0, "UTC", EVER, 0]], column_names=COLUMNS)


@pytest.mark.parametrize("by_layer", [False, True])
@pytest.mark.parametrize("is_reloaded", [False, True])
def test_a_proof_takes_up_metadata_that_was_written_by_hand(schema: Client, by_layer: bool, is_reloaded: bool) -> None:
    schema.insert("l1_power_raw", [[MARCH, 7, 1.0]], column_names=["timestamp", "device_id", "power_usage_kWh"])
    list(prove_all(schema))
    write_by_hand(schema, "by hand")
    if is_reloaded:  # by someone who does not know of the numbers, or by a restart of the server
        schema.command("SYSTEM RELOAD DICTIONARIES")
    assert unverified_partitions(schema, L3) == ["20260301"]
    proofs = prove_partitions(schema, L3, ["20260301"]) if by_layer else list(prove_all(schema, layers=[L3]))
    assert [proof.was_rebuilt for proof in proofs] == [True]
    assert schema.query("SELECT customer_id FROM l3_power_joined").result_rows == [("by hand",)]
    assert unverified_partitions(schema, L3) == []


def test_dictionaries_are_not_reloaded_again_for_a_row_by_hand_that_changes_nothing(schema: Client) -> None:
    for _ in range(2):
        write_by_hand(schema, "by hand")
        time.sleep(1.1)  # the time at which a dictionary was loaded has whole seconds
        take_up_manual_changes(schema)
    with mock.patch("iot_platform.layers.dictionaries.reload_dictionaries") as reload:
        take_up_manual_changes(schema)
    reload.assert_not_called()
    assert len(numbers(schema)) == 1


def test_a_number_that_was_given_before_a_kill_is_taken_up(schema: Client) -> None:
    write_by_hand(schema, "by hand")
    time.sleep(1.1)
    schema.command("SYSTEM RELOAD DICTIONARIES")
    number_versions(schema)
    take_up_manual_changes(schema)
    schema.insert("l1_power_raw", [[MARCH, 7, 1.0]], column_names=["timestamp", "device_id", "power_usage_kWh"])
    assert schema.query("SELECT customer_id FROM l3_power_joined").result_rows == [("by hand",)]


def test_metadata_written_by_hand_during_proofs_is_taken_up_by_the_next(
    schema: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.insert("l1_power_raw", [[MARCH, 7, 1.0]], column_names=["timestamp", "device_id", "power_usage_kWh"])

    def then_write(client: Client) -> dt.datetime:
        at = take_up_manual_changes(client)
        write_by_hand(client, "by hand")
        return at

    with monkeypatch.context() as patch:
        patch.setattr("iot_platform.layers.proof.take_up_manual_changes", then_write)
        prove_partitions(schema, L3, ["20260301"])
    assert unverified_partitions(schema, L3) == ["20260301"]
    list(prove_all(schema, only_unverified=True))
    assert schema.query("SELECT customer_id FROM l3_power_joined").result_rows == [("by hand",)]


def test_energy_is_of_the_customer_that_l3_says_if_the_version_changed_within_the_hour(schema: Client) -> None:
    columns = ["timestamp", "device_id", "power_usage_kWh"]
    store(schema, (7, "old", EVER, 0))
    reload_dictionaries(schema)
    schema.insert("l1_power_raw", [[MARCH, 7, 1.0]], column_names=columns)
    list(prove_all(schema))
    store(schema, (7, "new", MARCH, 0))
    reload_dictionaries(schema)
    schema.insert("l1_power_raw", [[MARCH + dt.timedelta(minutes=15), 7, 2.0]], column_names=columns)
    list(prove_all(schema, only_unverified=True))
    for is_merged in (False, True):
        for mart in (BY_DEVICE_HOURLY.name, HOURLY_ROWS, BY_DEVICE_DAILY.name):
            found = schema.query(f"SELECT customer_id, toFloat64(sum(total_kWh)) FROM {mart} GROUP BY 1").result_rows
            assert found == [("new", 3.0)], (mart, is_merged)
        schema.command(f"OPTIMIZE TABLE {BY_DEVICE_HOURLY.table} FINAL")


def test_a_reading_gets_the_version_that_is_valid_at_its_time(schema: Client) -> None:
    large = 3_000_000_000
    for device in (7, 16_777_215, 16_777_216, large):
        store(schema, (device, "first", EVER, 0), (device, "second", MARCH, 0))
        reload_dictionaries(schema)
        first, second = [number for number, owner, *_ in numbers(schema) if owner == device]
        assert version_at(schema, device, MARCH - dt.timedelta(seconds=1)) == first
        assert version_at(schema, device, MARCH) == second
    # A correction, a removal, a deletion.
    store(schema, (large, "corrected", MARCH, 0))
    reload_dictionaries(schema)
    assert version_at(schema, large, MARCH + dt.timedelta(hours=1)) == max(number for number, *_ in numbers(schema))
    store(schema, (large, "", MARCH + dt.timedelta(hours=2), 1))
    reload_dictionaries(schema)
    version_at(schema, large, MARCH + dt.timedelta(hours=3))
    shown = "SELECT customer_id, has_metadata FROM l3_power_joined WHERE device_id = 3000000000 ORDER BY timestamp"
    assert schema.query(shown).result_rows == [("first", 1), ("second", 1), ("corrected", 1), ("", 0)]
    schema.command("ALTER TABLE device_metadata DELETE WHERE device_id = 7 SETTINGS mutations_sync = 1")
    reload_dictionaries(schema)
    assert version_at(schema, 7, MARCH + dt.timedelta(hours=5)) == 0


@pytest.mark.slow
def test_the_clock_of_every_zone_is_right_at_its_changes(schema: Client) -> None:
    """Compared with the engine's own conversion at and around each change from 2000 to 2105, and with zoneinfo."""
    zones = [str(row[0]) for row in schema.query("SELECT time_zone FROM system.time_zones ORDER BY 1").result_rows]
    rows = [[number + 1, "c", "office", 1.0, 2.0, zone, EVER, 0] for number, zone in enumerate(zones)]
    schema.insert("device_metadata", rows, column_names=COLUMNS)
    reload_dictionaries(schema)
    wrong = schema.query(
        """
        WITH
            names AS (SELECT id, name FROM metadata_names WHERE kind = 'time_zone'),
            changes AS
            (
                SELECT slot, changes_at FROM time_zone_offset_values
                WHERE changes_at < 4291747200 AND changes_at >= 946684800
            ),
            times AS
            (
                SELECT intDiv(slot, 4096) AS id, toUInt32(changes_at + shift) AS time
                FROM changes ARRAY JOIN [-86400, -3600, -60, -1, 0, 1, 60, 3600, 86400] AS shift
                UNION ALL
                SELECT names.id, toUInt32(946684800 + cityHash64(names.id, number) % 3345062400)
                FROM names CROSS JOIN numbers(2000) AS numbers
            )
        SELECT names.name, times.time FROM times INNER JOIN names ON names.id = times.id
        WHERE toDateTime(time, 'UTC') + if(
                time < dictGet('time_zone_offsets', 'changes_at', toUInt64(times.id) * 4096 + bitShiftRight(time, 20)),
                dictGet('time_zone_offsets', 'offset_s', toUInt64(times.id) * 4096 + bitShiftRight(time, 20)),
                dictGet('time_zone_offsets', 'offset_after_s', toUInt64(times.id) * 4096 + bitShiftRight(time, 20)))
            != toDateTime(toString(toDateTime(time, 'UTC'), names.name), 'UTC')
        ORDER BY ALL
        """
    ).result_rows
    # On 4 March 2010 Casey put its clock back from 2:00 to 23:00 of the day before. ClickHouse itself is wrong in the
    # two hours before: its tables of a day cannot hold that.
    assert {name for name, _ in wrong} <= {"Antarctica/Casey"}
    assert all(1267707600 <= time < 1267714800 for _, time in wrong)
    # Python's data is of another year than ClickHouse's, so a zone whose rules have changed since may differ.
    source = random.Random(1)
    hours = [dt.datetime.fromtimestamp(946_684_800 + source.randrange(915_000) * 3600, dt.UTC) for _ in range(200)]
    differing = set()
    for number, zone in enumerate(zones, start=1):
        if zone not in available_timezones():
            continue
        found = schema.query(
            "WITH dictGet('device_version_attributes', 'zone_id', toUInt64({version:UInt32})) AS zone "
            "SELECT arrayMap(time -> if(time < dictGet('time_zone_offsets', 'changes_at', "
            "toUInt64(zone) * 4096 + bitShiftRight(time, 20)), dictGet('time_zone_offsets', 'offset_s', "
            "toUInt64(zone) * 4096 + bitShiftRight(time, 20)), dictGet('time_zone_offsets', 'offset_after_s', "
            "toUInt64(zone) * 4096 + bitShiftRight(time, 20))), {times:Array(UInt32)})",
            parameters={"version": number, "times": [int(hour.timestamp()) for hour in hours]},
        ).result_rows[0][0]
        offsets = [hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in hours]
        if list(found) != [offset.total_seconds() if offset is not None else None for offset in offsets]:
            differing.add(zone)
    assert len(differing) < len(zones) / 20, differing
