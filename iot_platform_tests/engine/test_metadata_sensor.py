"""The sensor of the metadata CSV and the schedules of the metadata: what they ask for, and that it runs."""

from __future__ import annotations

import datetime as dt
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.definitions import defs
from iot_platform.defs.devices.schedule import (
    check_metadata_schedule,
    compare_metadata_schedule,
    refresh_metadata_schedule,
)
from iot_platform.defs.devices.sensor import SETTLED, metadata_csv_sensor
from iot_platform_tests.engine.dagster_runs import metadata_of, run_job
from iot_platform_tests.engine.metadata import frame

NIGHT = dt.datetime(2026, 1, 5, 4, 20, tzinfo=dt.UTC)


@pytest.fixture
def csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "devices.csv"
    monkeypatch.setenv("IOT_DEVICES_CSV", str(path))
    return write(path, "c1")


def write(path: Path, customer: str) -> Path:
    """Six devices of a customer, as if written long enough ago to be whole."""
    frame(*((device, customer) for device in range(1, 7))).to_csv(path, index=False)
    written = path.stat().st_mtime - 2 * SETTLED.total_seconds()
    os.utime(path, (written, written))
    return path


def tick(cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    found = metadata_csv_sensor(dg.build_sensor_context(cursor=cursor, definitions=defs))
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def asked(cursor: str | None = None) -> str:
    """The cursor after a tick that asks for a run."""
    result = tick(cursor)
    assert isinstance(result, dg.SensorResult) and result.run_requests and len(result.run_requests) == 1
    assert result.cursor and result.cursor != cursor
    return result.cursor


def skipped(cursor: str | None = None) -> str:
    """Why a tick asks for nothing."""
    result = tick(cursor)
    assert isinstance(result, dg.SkipReason) and result.skip_message
    return result.skip_message


def test_only_another_content_is_asked_for(csv: Path) -> None:
    first = asked()
    assert "has not changed" in skipped(first)
    # Written again with the same content.
    write(csv, "c1")
    assert "has not changed" in skipped(first)
    write(csv, "c2")
    second = asked(first)
    assert "has not changed" in skipped(second)
    # Put back, it has to be read again.
    write(csv, "c1")
    assert asked(second) == first


def test_a_file_that_is_being_written_is_left_until_it_is_whole(csv: Path) -> None:
    os.utime(csv)
    assert "is being written" in skipped()
    write(csv, "c1")
    asked()
    # A time from the future (another machine's clock) does not keep it away for ever.
    future = csv.stat().st_mtime + 86_400
    os.utime(csv, (future, future))
    asked()


def test_a_csv_that_is_away_is_skipped_with_the_reason(csv: Path) -> None:
    cursor = asked()
    csv.rename(csv.with_suffix(".away"))
    assert skipped(cursor) == (f"{csv}: cannot be read: No such file or directory. The stored metadata stays as it is.")
    csv.mkdir()
    assert "Is a directory" in skipped(cursor)
    csv.rmdir()
    csv.with_suffix(".away").rename(csv)
    assert "has not changed" in skipped(cursor)


def test_it_has_nothing_to_do_when_the_source_is_a_crm(csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_DEVICES_SOURCE", "crm")
    assert "IOT_DEVICES_SOURCE=crm" in skipped()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web server for the files of a directory; its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path), **options)  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_url_is_watched_and_read_without_showing_its_secrets(
    platform: Client, csv: Path, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IOT_DEVICES_CSV", f"{site}/devices.csv?signature=verysecret")
    with dg.DagsterInstance.ephemeral() as instance:
        first = asked()
        run_job("refresh_metadata_job", instance)
        facts = metadata_of(instance, "device_metadata")
        assert (facts["new"], facts["location"], facts["position"]) == (6, f"{site}/devices.csv", first)
        write(csv, "c2")
        asked(first)
        run_job("refresh_metadata_job", instance)
        assert metadata_of(instance, "device_metadata")["changed"] == 6

        monkeypatch.setenv("IOT_DEVICES_CSV", f"{site}/gone.csv?signature=verysecret")
        assert skipped().startswith(f"{site}/gone.csv: cannot be read")
        failed = run_job("refresh_metadata_job", instance, raise_on_error=False)
        events = " ".join(str(event) for event in failed.all_events)
        assert not failed.success and f"{site}/gone.csv: cannot be read" in events and "verysecret" not in events
    log = platform.query("SELECT location, outcome, problem FROM metadata_refreshes ORDER BY started_at").result_rows
    assert [row[1] for row in log] == ["refreshed", "refreshed", "failed"]
    assert "verysecret" not in str(log)


def at(time: dt.datetime) -> dg.ScheduleEvaluationContext:
    return dg.build_schedule_context(scheduled_execution_time=time, repository_def=defs.get_repository_def())


@pytest.mark.parametrize(("source", "compares"), [("csv", 0), ("crm", 1)])
def test_a_crm_is_asked_for_changes_each_hour_and_compared_each_night(
    source: str, compares: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IOT_DEVICES_SOURCE", source)
    hourly = refresh_metadata_schedule.evaluate_tick(at(NIGHT)).run_requests
    assert hourly and hourly[0].run_config["ops"]["device_metadata"]["config"]["increment"] is True
    nightly = compare_metadata_schedule.evaluate_tick(at(NIGHT)).run_requests or []
    assert len(nightly) == compares
    assert not any(request.run_config for request in nightly)
    assert check_metadata_schedule.evaluate_tick(at(NIGHT)).run_requests


def test_the_night_is_that_of_the_configured_time_zone() -> None:
    script = (
        "from iot_platform.defs.devices import schedule as s;"
        "print([(x.cron_schedule, x.execution_timezone) for x in (s.refresh_metadata_schedule, "
        "s.compare_metadata_schedule)])"
    )
    environment = {**os.environ, "IOT_METADATA_TIMEZONE": "Europe/Berlin", "IOT_METADATA_COMPARE_CRON": "5 3 * * *"}
    found = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[('0 * * * *', 'Europe/Berlin'), ('5 3 * * *', 'Europe/Berlin')]"


def test_the_run_it_asks_for_is_one_of_the_refresh_job(platform: Client, csv: Path) -> None:
    assert metadata_csv_sensor.job_name == "refresh_metadata_job"
    with dg.DagsterInstance.ephemeral() as instance:
        asked()
        # What the hourly schedule asks for: a CSV cannot tell what has changed, and is read as a whole.
        [request] = refresh_metadata_schedule.evaluate_tick(at(NIGHT)).run_requests or []
        for _ in range(2):
            run_job("refresh_metadata_job", instance, run_config=request.run_config)
        facts = metadata_of(instance, "device_metadata")
    assert (facts["read"], facts["unchanged"]) == ("all", 6)
