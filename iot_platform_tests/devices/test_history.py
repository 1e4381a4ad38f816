"""Changing metadata: which readings and days change with it, and which do not."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.devices import affected
from iot_platform.devices.refresh import RefreshResult, refresh_devices
from iot_platform.devices.restatement import restate
from iot_platform.devices.violations import ContractError
from iot_platform.errors import SourceError
from iot_platform.layers.catalog import BY_DEVICE_HOURLY, DERIVED_LAYERS, L2, L3, MARTS, QUARANTINE
from iot_platform.layers.proof import prove_all
from iot_platform.layers.status import unverified_partitions
from iot_platform.layers.summary import summarize
from iot_platform.limits.power_limits import set_limit
from iot_platform_tests.devices.metadata import (
    COLUMNS,
    DAYS,
    NOW,
    SIX,
    Device,
    customers_by_hour,
    frame,
    is_settled,
    load,
    load_and_restate,
    proved_days,
)


def test_a_device_that_appears_after_its_readings(filled: Client) -> None:
    load_and_restate(filled, *SIX[:5])
    assert summarize(filled).unenriched == 2 * 48
    filled.command("TRUNCATE TABLE partition_proofs")
    filled.command("TRUNCATE TABLE proof_requests")

    result, restated = load_and_restate(filled, *SIX)
    assert result.counts == {"new": 1, "changed": 0, "closed": 0, "unchanged": 5}
    assert result.affected.to_dict("records") == [
        {"partition_id": day, "devices": 1, "readings": 48} for day in DAYS[1:]
    ]
    assert summarize(filled).unenriched == 0
    # Only its days were affected, and only in L3 and the marts.
    assert proved_days(filled) == {layer.name: DAYS[1:] for layer in (L3, *MARTS)}
    assert restated.days == DAYS[1:] and restated.rebuilt[L3.name] == restated.rebuilt[BY_DEVICE_HOURLY.name] == 2
    [without, customer] = restated.energy.customers()
    energy = Decimal("0.6") * 96
    assert (without.customer_id, without.kWh_before, without.kWh_after) == ("", energy, Decimal(0))
    assert (customer.customer_id, customer.kWh_before, customer.kWh_after) == ("c6", Decimal(0), energy)
    total = Decimal("2.1") * 96
    assert restated.energy.total() == (total, total) and restated.energy.more_readings() == 0
    assert is_settled(filled)


def test_a_change_in_the_past_and_in_the_middle_of_a_day(filled: Client) -> None:
    load_and_restate(filled, *SIX)
    result, restated = load_and_restate(
        filled, (1, "new", "2026-01-06T09:00:00Z"), (1, "c1", "2026-01-07T03:00:00Z"), complete=False
    )
    # The second row repeats what was valid anyway; from then on only the number of the version changes.
    assert result.counts == {"new": 0, "changed": 2, "closed": 0, "unchanged": 0}
    assert result.affected.to_dict("records") == [
        {"partition_id": DAYS[1], "devices": 1, "readings": 30},
        {"partition_id": DAYS[2], "devices": 1, "readings": 48},
    ]
    for table in ("l3_power_joined", "l4_power_agg_hourly"):
        assert customers_by_hour(filled, 1, DAYS[0], table) == ["c1"] * 24
        assert customers_by_hour(filled, 1, DAYS[1], table) == ["c1"] * 9 + ["new"] * 15
        assert customers_by_hour(filled, 1, DAYS[2], table) == ["new"] * 3 + ["c1"] * 21
    assert {each.customer_id: each.kWh_after - each.kWh_before for each in restated.energy.customers()} == {
        "c1": Decimal("-3.6"),
        "new": Decimal("3.6"),
    }
    assert is_settled(filled)


def test_a_removed_device_keeps_its_history_and_may_come_back(filled: Client) -> None:
    load_and_restate(filled, *SIX)
    result, restated = load_and_restate(filled, *SIX[1:])
    assert result.counts == {"new": 0, "changed": 0, "closed": 1, "unchanged": 5}
    assert customers_by_hour(filled, 1, DAYS[1]) == ["c1"] * 24
    assert customers_by_hour(filled, 1, DAYS[2]) == ["c1"] * 12 + [""] * 12
    assert restated.days == DAYS[2:]
    stored = "SELECT customer_id, is_removed FROM device_metadata FINAL WHERE device_id = 1 ORDER BY valid_from"
    assert filled.query(stored).result_rows == [("c1", 0), ("c1", 1)]
    assert load(filled, *SIX[1:]).counts["closed"] == 0

    result = load(filled, *SIX, now=NOW + dt.timedelta(hours=4))
    assert (result.new, result.changed) == (0, 1)
    restate(filled, result)
    assert customers_by_hour(filled, 1, DAYS[2]) == ["c1"] * 12 + [""] * 4 + ["c1"] * 8
    assert is_settled(filled)


def test_a_source_that_is_not_complete_closes_nothing(filled: Client) -> None:
    load(filled, *SIX)
    assert load(filled, SIX[0], complete=False).counts == {"new": 0, "changed": 0, "closed": 0, "unchanged": 1}


def limited(client: Client, *building_types: str) -> RefreshResult:
    """Load devices 1 and 2 with these building types, from now on."""
    rows = [(device, "c", kind, 1.0, 2.0, None) for device, kind in enumerate(building_types, start=1)]
    return refresh_devices(client, pd.DataFrame(rows, columns=COLUMNS), NOW, complete=True, max_closed_share=1)


def test_limits_per_building_type_follow_the_building_type(schema: Client) -> None:
    set_limit(schema, "building_type", "hospital", 5000)
    restate(schema, limited(schema, "office", "office"))
    rows = [(1, "05", 50.0), (1, "06", 500.0), (1, "07", 50.0), (2, "07", 500.0), (1, "08", 6000.0), (1, "09", 500.0)]
    schema.insert(
        "l1_power_raw",
        [(dt.datetime(2026, 1, int(day), tzinfo=dt.UTC), device, kWh) for device, day, kWh in rows],
        column_names=["timestamp", "device_id", "power_usage_kWh"],
    )
    list(prove_all(schema))
    assert summarize(schema).layers[L2.name].rows == 2

    result = limited(schema, "hospital", "office")
    # Device 1 has readings between the old and the new limit on the 6th and the 9th; the version begins on the 7th.
    assert result.affected.empty
    assert result.touched == {layer: {"20260109"} for layer in DERIVED_LAYERS}
    assert unverified_partitions(schema, L2) == unverified_partitions(schema, QUARANTINE) == ["20260109"]
    restated = restate(schema, result)
    assert restated.rebuilt == dict.fromkeys([layer.name for layer in DERIVED_LAYERS], 1)
    assert restated.energy.total() == (Decimal(0), Decimal(500)) and restated.energy.more_readings() == 1
    assert is_settled(schema)

    # A removed device has the default limit again; a limit of the device takes precedence over its building type.
    set_limit(schema, "device", "2", 400)
    list(prove_all(schema))
    result = limited(schema)
    assert result.touched[L2] == {"20260109"}
    restate(schema, result)
    assert summarize(schema).layers[L2.name].rows == 2
    assert limited(schema, "office", "hospital").touched[L2] == set()
    assert is_settled(schema)


def test_a_file_that_is_cut_off_is_refused(filled: Client) -> None:
    everyone: list[Device] = [(device, "c") for device in range(1, 21)]
    load(filled, *everyone)
    before = filled.query("SELECT count() FROM device_metadata").result_rows
    with pytest.raises(SourceError) as error:
        refresh_devices(filled, frame(*everyone[:10]), NOW, complete=True, where="crm.csv")
    for part in (
        "crm.csv: lists 10 devices",
        "10 of the 20 known ones (50%)",
        "closes at most 20%",
        "Nothing was changed",
    ):
        assert part in str(error.value)
    with pytest.raises(SourceError, match="lists 0 devices"):
        refresh_devices(filled, frame(), NOW, complete=True)
    assert filled.query("SELECT count() FROM device_metadata").result_rows == before
    assert refresh_devices(filled, frame(*everyone[:16]), NOW, complete=True).closed == 4
    assert refresh_devices(filled, frame(*everyone[:2]), NOW, complete=True, max_closed_share=1).closed == 14
    # For so few devices the share is not limited; only an empty file is refused.
    with pytest.raises(SourceError, match="lists 0 devices"):
        refresh_devices(filled, frame(), NOW, complete=True)
    assert refresh_devices(filled, frame(everyone[0]), NOW, complete=True).closed == 1


def test_a_dry_run_changes_nothing(filled: Client) -> None:
    load_and_restate(filled, *SIX)
    tables = ("device_metadata", "meter_ids", "proof_requests", "partition_proofs", "system.tables")
    before = [filled.query(f"SELECT count() FROM {table}").result_rows for table in tables]
    wanted = frame(*SIX[1:], (1, "x", "2026-01-06"), (7, "c7"))
    planned = refresh_devices(filled, wanted, NOW, complete=True, dry_run=True)
    named = wanted.assign(device_id=[f"meter {device}" for device in wanted["device_id"]])
    named_plan = refresh_devices(filled, named, NOW, dry_run=True)
    assert named_plan.new == 7 and named_plan.changes["meter"].tolist()[0] == "meter 2"
    assert [filled.query(f"SELECT count() FROM {table}").result_rows for table in tables] == before
    done = refresh_devices(filled, wanted, NOW, complete=True)
    assert (planned.counts, planned.touched) == (done.counts, done.touched)
    assert planned.affected.equals(done.affected) and planned.changes.equals(done.changes)


def test_the_same_device_twice_is_refused(filled: Client) -> None:
    twice = frame((7, "a"), (8, "b"))
    with pytest.raises(ContractError, match=r"row 1: device_id: '7.0' occurs more than once"):
        refresh_devices(filled, twice.assign(device_id=["7", "7.0"]), NOW)
    with pytest.raises(ContractError, match=r"row 0: device_id: '7' occurs more than once"):
        refresh_devices(filled, frame((7, "a"), (7, "b", "1970-01-01")), NOW)
    assert filled.query("SELECT count() FROM device_metadata").result_rows == [(0,)]


def test_named_meters_are_shown_by_their_names(filled: Client) -> None:
    named = frame(*SIX).assign(device_id=["north", "south", "east", "west", "up", "down"])
    refresh_devices(filled, named, NOW, complete=True)
    result = refresh_devices(filled, named[1:], NOW, complete=True)
    assert result.changes["meter"].tolist() == ["north"]


def test_periods_of_many_devices_are_counted_in_groups_of_days(filled: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affected, "grouped", lambda days, rows: [[day] for day in days])
    result = load(filled, *SIX)
    assert result.affected["devices"].tolist() == [5, 6, 6]
