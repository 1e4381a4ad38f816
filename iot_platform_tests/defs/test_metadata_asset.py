"""The asset device_metadata: what a run reports, and what it leaves when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.devices import restatement
from iot_platform.errors import ProofError
from iot_platform.layers.proof import prove_all, prove_partitions
from iot_platform_tests.defs.dagster_runs import metadata_of, run_job
from iot_platform_tests.devices.metadata import (
    SIX,
    Device,
    frame,
    insert_readings,
    is_settled,
)


@pytest.fixture
def filled(schema: Client) -> Client:
    insert_readings(schema)
    return schema


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def write_csv(tmp_path: Path, *devices: Device) -> None:
    path = tmp_path / "home" / "devices.csv"
    path.parent.mkdir(exist_ok=True)
    frame(*devices).to_csv(path, index=False)


def test_the_asset_reports_what_changed_and_restates_it(
    platform: Client, filled: Client, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv(tmp_path, *SIX)
    run_job("refresh_metadata_job", instance)
    list(prove_all(filled))
    write_csv(tmp_path, (1, "new", "2026-01-06T09:00:00Z"), *SIX[1:5])
    run_job("refresh_metadata_job", instance)
    entries = metadata_of(instance, "device_metadata")
    assert {name: entries[name] for name in ("new", "changed", "closed", "unchanged")} == {
        "new": 0,
        "changed": 1,
        "closed": 1,
        "unchanged": 4,
    }
    assert "| 6 |" in entries["changes"] and "was c6, office, 1, 2" in entries["changes"]
    assert "| 1 | 2026-01-06 09:00 | open | changed | customer_id: c1 -> new |" in entries["changes"]
    assert entries["days"] == "2026-01-06, 2026-01-07" and entries["days_restated"] == 2
    assert (entries["l3_days_rebuilt"], entries["l4_days_rebuilt"]) == (2, 2)
    assert "| c1 | 9.600 | 1.800 | -7.800 |" in entries["kWh_per_customer"]
    assert "| all customers | 201.600 | 201.600 | +0.000 |" in entries["kWh_per_customer"]
    assert entries["kWh_before"] == entries["kWh_after"] == 201.6 and entries["more_readings"] == 0

    monkeypatch.setenv("IOT_DEVICES_CSV_COMPLETE", "false")
    write_csv(tmp_path, SIX[1])
    run_job("refresh_metadata_job", instance)
    entries = metadata_of(instance, "device_metadata")
    assert (entries["closed"], entries["unchanged"], entries["days"]) == (0, 1, "none")
    assert is_settled(filled)


def test_the_run_fails_with_what_was_stored_when_days_cannot_be_restated(
    platform: Client, filled: Client, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ProofError("no moment without inserts")

    write_csv(tmp_path, *SIX)
    monkeypatch.setattr(restatement, "prove_partitions", fail)
    result = run_job("refresh_metadata_job", instance, raise_on_error=False)
    failure = result.failure_data_for_node("device_metadata")
    assert failure and failure.user_failure_data
    assert "stored and in use, but only 0 of 3 days" in str(failure.user_failure_data.description)
    assert failure.user_failure_data.metadata["new"].value == 6
    # Materialized again, with the same CSV, it goes on with the days that are open.
    monkeypatch.setattr(restatement, "prove_partitions", prove_partitions)
    run_job("refresh_metadata_job", instance)
    entries = metadata_of(instance, "device_metadata")
    assert (entries["unchanged"], entries["days_restated"]) == (6, 3)
    assert is_settled(filled)
