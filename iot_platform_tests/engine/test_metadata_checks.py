"""The checks of the metadata: they age while the source is away, and see what was written past the platform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform_tests.engine.dagster_runs import run_checks, run_job
from iot_platform_tests.engine.metadata import SIX, frame

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "devices.csv"
    monkeypatch.setenv("IOT_DEVICES_CSV", str(path))
    frame(*SIX).to_csv(path, index=False)
    return path


def checked(instance: dg.DagsterInstance, name: str) -> tuple[dg.AssetCheckEvaluation, dict[str, Any]]:
    evaluation = run_checks(instance, "device_metadata")[name]
    return evaluation, {name: value.value for name, value in evaluation.metadata.items()}


def attempt(
    client: Client, hours_ago: float, outcome: str = "refreshed", *, source: str = "csv", full: int = 1
) -> None:
    problem = "the CRM refuses the token" if outcome == "failed" else ""
    client.command(
        "INSERT INTO metadata_refreshes (source, location, started_at, outcome, is_full, problem) "
        f"VALUES ('{source}', 'x', now64(3) - INTERVAL {int(hours_ago * 60)} MINUTE, '{outcome}', {full}, '{problem}')"
    )


def test_the_metadata_ages_while_its_source_is_down(
    platform: Client, csv: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job("refresh_metadata_job", instance)
    evaluation, found = checked(instance, "metadata_source_is_fresh")
    assert evaluation.passed and found["failures_since"] == 0 and "last_problem" not in found
    stored = platform.query("SELECT * FROM device_metadata ORDER BY device_id").result_rows

    csv.write_text("device_id,customer_id\n1,c1\n")
    failed = run_job("refresh_metadata_job", instance, raise_on_error=False)
    failure = failed.failure_data_for_node("device_metadata")
    assert failure and failure.user_failure_data and "no column" in str(failure.user_failure_data.description)
    assert platform.query("SELECT * FROM device_metadata ORDER BY device_id").result_rows == stored

    evaluation, found = checked(instance, "metadata_source_is_fresh")
    assert evaluation.passed and found["failures_since"] == 1

    platform.command("TRUNCATE TABLE metadata_refreshes")
    attempt(platform, 5)
    attempt(platform, 1, "failed")
    for red_after, severity in ((26, WARN), (4, ERROR)):
        monkeypatch.setenv("IOT_METADATA_ERROR_H", str(red_after))
        evaluation, found = checked(instance, "metadata_source_is_fresh")
        assert not evaluation.passed and evaluation.severity == severity
        assert found["hours_since_read"] == pytest.approx(5, abs=0.1) and found["failures_since"] == 1
        assert found["last_problem"] == "the CRM refuses the token" and "Remove the cause" in found["what_to_do"]
        sql = found["sql"].removeprefix("```sql\n").removesuffix("\n```")
        assert platform.query(sql).result_rows

    frame(*SIX).to_csv(csv, index=False)
    run_job("refresh_metadata_job", instance)
    evaluation, _ = checked(instance, "metadata_source_is_fresh")
    assert evaluation.passed


def test_a_source_that_was_never_read_is_not_fresh(platform: Client, instance: dg.DagsterInstance) -> None:
    evaluation, found = checked(instance, "metadata_source_is_fresh")
    assert not evaluation.passed and evaluation.severity == WARN
    assert found["last_problem"] == "no attempt has failed"
    attempt(platform, 30, "failed")
    evaluation, found = checked(instance, "metadata_source_is_fresh")
    assert not evaluation.passed and evaluation.severity == ERROR
    assert found["last_problem"] == "the CRM refuses the token"


@pytest.mark.parametrize(("full_h_ago", "severity"), [(25, None), (28, WARN), (51, ERROR)])
def test_increments_alone_do_not_keep_it_fresh(
    platform: Client,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    full_h_ago: int,
    severity: dg.AssetCheckSeverity | None,
) -> None:
    monkeypatch.setenv("IOT_DEVICES_SOURCE", "crm")
    attempt(platform, full_h_ago, source="crm")
    attempt(platform, 0.5, source="crm", full=0)
    # Of another source, which is not in use.
    attempt(platform, 0.1)
    evaluation, found = checked(instance, "metadata_source_is_fresh")
    assert evaluation.passed is (severity is None) and found["hours_since_read"] == pytest.approx(0.5, abs=0.1)
    if severity:
        assert evaluation.severity == severity


def test_what_is_stored_keeps_the_contract(platform: Client, csv: Path, instance: dg.DagsterInstance) -> None:
    run_job("refresh_metadata_job", instance)
    evaluation, found = checked(instance, "metadata_contract_holds")
    assert evaluation.passed and (found["versions"], found["breaches"]) == (6, 0)

    into = (
        "INSERT INTO device_metadata (device_id, valid_from, customer_id, building_type, latitude, longitude) VALUES "
    )
    platform.command(f"{into} (7, '2026-01-01 00:00:00', 'c7', 'office', 0, 0)")
    evaluation, found = checked(instance, "metadata_contract_holds")
    assert not evaluation.passed and evaluation.severity == WARN
    assert "| 7 | 2026-01-01 00:00:00" in found["offenders"] and "0/0" in found["offenders"]

    platform.command(f"{into} (8, '2026-01-01 00:00:00', ' ', 'office', 95, nan)")
    evaluation, found = checked(instance, "metadata_contract_holds")
    assert not evaluation.passed and evaluation.severity == ERROR
    assert (found["versions"], found["breaches"]) == (8, 4)
    for problem in ("is empty", "is not from -90 to 90", "is not from -180 to 180"):
        assert problem in found["offenders"]
    sql = found["sql"].removeprefix("```sql\n").removesuffix("\n```")
    assert [row[0] for row in platform.query(sql).result_rows] == [7, 8]


def test_no_metadata_at_all_breaks_no_contract(platform: Client, instance: dg.DagsterInstance) -> None:
    evaluation, found = checked(instance, "metadata_contract_holds")
    assert evaluation.passed and found["versions"] == 0
