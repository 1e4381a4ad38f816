"""Metadata from a CRM over real HTTP: paging, faults, changed and archived devices, and the days they affect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.defs.devices import refresh
from iot_platform.devices.sources import api
from iot_platform.layers.proof import prove_all
from iot_platform_tests.defs.dagster_runs import metadata_of, run_job
from iot_platform_tests.devices.crm import crm_stub, requests_of
from iot_platform_tests.devices.metadata import (
    COLUMNS,
    DAYS,
    NOW,
    Device,
    customers_by_hour,
    frame,
    insert_readings,
    is_settled,
    proved_days,
)

DEVICES = 5000
INCREMENT = {"ops": {"device_metadata": {"config": {"increment": True}}}}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "utc_now", lambda: NOW)
    # Short timeouts and short pauses between attempts.
    monkeypatch.setenv("IOT_SOURCE_TIMEOUT_S", "1")
    monkeypatch.setattr(api, "FIRST_PAUSE_S", 0.01)


def write(csv: Path, *devices: Device) -> Path:
    """Write the given devices and others, DEVICES in all. The file is replaced, never half written."""
    rest: list[Device] = [(number, f"c{number}") for number in range(len(devices) + 1, DEVICES + 1)]
    csv.parent.mkdir(exist_ok=True)
    frame(*devices, *rest).to_csv(partial := csv.with_suffix(".partial"), index=False)
    partial.replace(csv)
    return csv


def test_five_thousand_devices_with_faults_a_change_and_an_archived_one(
    platform: Client, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {column: f"meter_{column}" for column in COLUMNS}
    monkeypatch.setenv("IOT_CRM_FIELDS", json.dumps({name: fields[name] for name in COLUMNS if name != "valid_from"}))
    insert_readings(platform)
    csv = write(tmp_path / "crm" / "devices.csv")
    with crm_stub(csv, monkeypatch, "--fail", "429:41", "--fail", "500:43", "--fail", "timeout:47") as log:
        run_job("refresh_metadata_job", instance)
        facts = metadata_of(instance, "device_metadata")
        assert (facts["new"], facts["rows_read"], facts["read"]) == (DEVICES, DEVICES, "all")
        assert len(requests_of(log, having=" 200")) >= DEVICES // 100
        for fault in (" 429 ", " 500 ", " no response "):
            assert requests_of(log, having=fault)
        assert is_settled(platform)
        list(prove_all(platform))
        proofs = "SELECT count() FROM partition_proofs WHERE layer = 'l3_power_joined' AND partition_id = '20260105'"
        before = platform.query(proofs).result_rows

        # Hourly: device 1 has another customer from now on; device 6 is archived, which an increment does not show.
        changed: list[Device] = [(1, "new", "2026-01-06T09:00:00Z"), *((n, f"c{n}") for n in range(2, 6))]
        listed = write(csv, *changed, (6, "c6")).read_text()
        csv.write_text("".join(line for line in listed.splitlines(keepends=True) if not line.startswith("6,")))
        run_job("refresh_metadata_job", instance, run_config=INCREMENT)
        facts = metadata_of(instance, "device_metadata")
        assert (facts["read"], facts["changed"], facts["closed"]) == ("what has changed", 1, 0)
        assert (facts["days"], facts["days_restated"]) == ("2026-01-07", 1)
        assert platform.query(proofs).result_rows == before

    # A full read, as each night (or each hour, if the CRM has a property for valid_from): here from the second day on.
    monkeypatch.setenv("IOT_CRM_FIELDS", json.dumps(fields))
    with crm_stub(csv, monkeypatch):
        run_job("refresh_metadata_job", instance, run_config=INCREMENT)
        facts = metadata_of(instance, "device_metadata")
        assert (facts["read"], facts["rows_read"]) == ("all", DEVICES - 1)
        assert (facts["changed"], facts["closed"]) == (1, 1)
        assert (facts["days"], facts["days_restated"]) == ("2026-01-06, 2026-01-07", 2)
        assert platform.query(proofs).result_rows == before

    assert is_settled(platform) and set(proved_days(platform)["l3_power_joined"]) == set(DAYS)
    for table in ("l3_power_joined", "l4_power_agg_hourly"):
        assert customers_by_hour(platform, 1, DAYS[0], table) == ["c1"] * 24
        assert customers_by_hour(platform, 1, DAYS[1], table) == ["c1"] * 9 + ["new"] * 15
        assert customers_by_hour(platform, 1, DAYS[2], table) == ["new"] * 24
        assert customers_by_hour(platform, 2, DAYS[2], table) == ["c2"] * 24
        assert customers_by_hour(platform, 6, DAYS[2], table) == ["c6"] * 12 + [""] * 12
    versions = platform.query(
        "SELECT device_id, toString(valid_from), customer_id, is_removed FROM device_metadata FINAL "
        "WHERE device_id IN (SELECT device_id FROM device_metadata GROUP BY 1 HAVING uniqExact(valid_from) > 1) "
        "ORDER BY 1, 2"
    ).result_rows
    assert versions == [
        (1, "1970-01-01 00:00:00", "c1", 0),
        (1, "2026-01-06 09:00:00", "new", 0),
        (1, "2026-01-07 12:00:00", "new", 0),
        (6, "1970-01-01 00:00:00", "c6", 0),
        (6, "2026-01-07 12:00:00", "c6", 1),
    ]
    attempts = platform.query(
        "SELECT outcome, is_full, rows, new, changed, closed FROM metadata_refreshes ORDER BY started_at"
    ).result_rows
    assert attempts == [
        ("refreshed", 1, DEVICES, DEVICES, 0, 0),
        ("refreshed", 0, DEVICES - 1, 0, 1, 0),
        ("refreshed", 1, DEVICES - 1, 0, 1, 1),
    ]
