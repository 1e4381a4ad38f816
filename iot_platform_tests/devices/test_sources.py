"""When the metadata is refreshed, a CSV behind a URL, and what happens while the source is down."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.definitions import defs
from iot_platform.defs.devices import sensor as module
from iot_platform.defs.devices.schedule import (
    check_metadata_schedule,
    compare_metadata_schedule,
    refresh_metadata_schedule,
)
from iot_platform.defs.devices.sensor import SETTLED, metadata_csv_sensor
from iot_platform.devices.sources.configured import configured_source, device_csv_source
from iot_platform.devices.sources.source import without_secrets
from iot_platform.errors import SourceError
from iot_platform.settings import Settings
from iot_platform_tests.defs.dagster_runs import metadata_of, run_checks, run_job
from iot_platform_tests.devices.metadata import SIX, Device, frame

NOW = dt.datetime(2026, 1, 5, 10, 20, tzinfo=dt.UTC)
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IOT_DEVICES_CSV", str(tmp_path / "devices.csv"))
    monkeypatch.setenv("IOT_SIMULATOR_ENABLED", "false")
    monkeypatch.setattr(module, "utc_now", lambda: NOW)
    return tmp_path / "devices.csv"


def write(csv: Path, *devices: Device, written_at: dt.datetime = NOW - SETTLED) -> None:
    frame(*devices).to_csv(csv, index=False)
    os.utime(csv, (written_at.timestamp(), written_at.timestamp()))


def tick(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
    found = metadata_csv_sensor(dg.build_sensor_context(cursor=cursor, definitions=defs))
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def cursor_of(found: dg.SensorResult | dg.SkipReason) -> str:
    """The cursor after a tick that requests one run."""
    assert isinstance(found, dg.SensorResult) and found.run_requests and len(found.run_requests) == 1
    assert found.run_requests[0].run_key is None and found.cursor
    return found.cursor


def reason_of(found: dg.SensorResult | dg.SkipReason) -> str:
    assert isinstance(found, dg.SkipReason) and found.skip_message
    return found.skip_message


def facts(evaluation: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name: value.value for name, value in evaluation.metadata.items()}


def test_the_sensor_reacts_only_to_another_content(csv: Path) -> None:
    write(csv, *SIX)
    first = cursor_of(tick(None))
    assert "has not changed" in reason_of(tick(first))
    # It is written again with the same content.
    write(csv, *SIX, written_at=NOW - dt.timedelta(minutes=1))
    assert "has not changed" in reason_of(tick(first))
    write(csv, *SIX[1:])
    second = cursor_of(tick(first))
    assert second != first
    # It gets its old content back: that is a change, too.
    write(csv, *SIX)
    assert cursor_of(tick(second)) == first


def test_the_sensor_waits_for_a_file_that_is_being_written(csv: Path) -> None:
    write(csv, *SIX, written_at=NOW - dt.timedelta(seconds=1))
    assert "is being written" in reason_of(tick(None))
    # A wrong clock must not make it wait forever.
    write(csv, *SIX, written_at=NOW + dt.timedelta(days=1))
    cursor_of(tick(None))


def test_the_sensor_skips_with_the_reason(csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "devices.csv: cannot be read: No such file" in reason_of(tick(None))
    csv.mkdir()
    assert "cannot be read: it is not a regular file" in reason_of(tick(None))
    monkeypatch.setenv("IOT_DEVICES_CSV", "nowhere://bucket/devices.csv")
    assert "Protocol not known: nowhere" in reason_of(tick(None))
    monkeypatch.setenv("IOT_DEVICES_SOURCE", "crm")
    assert "another source" in reason_of(tick(None))


def test_the_run_that_the_sensor_requests_loads_the_file(
    platform: Client, csv: Path, instance: dg.DagsterInstance
) -> None:
    write(csv, *SIX)
    found = tick(None)
    assert isinstance(found, dg.SensorResult) and found.run_requests
    run_job("refresh_metadata_job", instance, run_config=found.run_requests[0].run_config)
    told = metadata_of(instance, "device_metadata")
    assert (told["new"], told["position"], told["location"]) == (6, found.cursor, str(csv))
    columns = "source, location, outcome, is_full, position, device_ids, rows, new, changed, closed, problem, run_id"
    [attempt] = platform.query(f"SELECT {columns} FROM metadata_refreshes").result_rows
    run = instance.get_runs()[0].run_id
    assert attempt == ("csv", str(csv), "refreshed", 1, found.cursor, "numeric", 6, 6, 0, 0, "", run)


def test_the_schedules_say_what_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = dg.DagsterInstance.local_temp(str(tmp_path))

    def requested(schedule: dg.ScheduleDefinition) -> list[dg.RunRequest]:
        repository = defs.get_repository_def()
        context = dg.build_schedule_context(instance, scheduled_execution_time=NOW, repository_def=repository)
        return list(schedule.evaluate_tick(context).run_requests or [])

    monkeypatch.setenv("IOT_DEVICES_SOURCE", "crm")
    [hourly] = requested(refresh_metadata_schedule)
    assert hourly.run_config["ops"] == {"device_metadata": {"config": {"increment": True}}}
    [nightly] = requested(compare_metadata_schedule)
    assert nightly.run_config == {}
    assert len(requested(check_metadata_schedule)) == 1
    monkeypatch.setenv("IOT_DEVICES_SOURCE", "csv")
    assert len(requested(refresh_metadata_schedule)) == 1
    assert requested(compare_metadata_schedule) == []


def test_the_schedules_have_their_times() -> None:
    schedules = [each for each in defs.schedules or [] if isinstance(each, dg.ScheduleDefinition)]
    times = {each.name: (each.cron_schedule, each.execution_timezone) for each in schedules}
    assert times["refresh_metadata_schedule"] == ("0 * * * *", "UTC")
    assert times["compare_metadata_schedule"] == ("20 4 * * *", "UTC")
    assert times["check_metadata_schedule"] == ("5 * * * *", "UTC")


def test_while_the_source_is_down_the_metadata_stays_and_the_check_fails_with_time(
    platform: Client, csv: Path, instance: dg.DagsterInstance
) -> None:
    checked = run_checks(instance, "device_metadata")["metadata_source_is_fresh"]
    assert not checked.passed and checked.severity == WARN and "never read" in str(checked.description)
    write(csv, *SIX)
    result = run_job("refresh_metadata_job", instance)
    assert [evaluation.passed for evaluation in result.get_asset_check_evaluations()] == [True, True]

    csv.unlink()
    result = run_job("refresh_metadata_job", instance, raise_on_error=False)
    failure = result.failure_data_for_node("device_metadata")
    assert not result.success and failure and failure.user_failure_data
    assert "cannot be read: No such file" in str(failure.user_failure_data.description)
    assert platform.query("SELECT count() FROM device_metadata FINAL WHERE NOT is_removed").result_rows == [(6,)]
    checked = run_checks(instance, "device_metadata")["metadata_source_is_fresh"]
    assert checked.passed and facts(checked)["failures_since"] == 1

    for hours, severity in ((4, WARN), (30, ERROR)):
        age(platform, hours)
        checked = run_checks(instance, "device_metadata")["metadata_source_is_fresh"]
        assert not checked.passed and checked.severity == severity
        assert f"last read {hours}.0 hours ago" in str(checked.description)
        assert "No such file" in facts(checked)["last_problem"]
        sql = facts(checked)["sql"].removeprefix("```sql\n").removesuffix("\n```")
        assert platform.query(sql).row_count == 1
    write(csv, *SIX)
    run_job("refresh_metadata_job", instance)
    assert run_checks(instance, "device_metadata")["metadata_source_is_fresh"].passed


def age(client: Client, hours: int) -> None:
    """Make the last successful read as old as so many hours."""
    client.command("DELETE FROM metadata_refreshes WHERE outcome = 'refreshed'")
    client.command(
        "INSERT INTO metadata_refreshes (source, started_at, outcome, is_full) "
        f"SELECT 'csv', now64(3) - INTERVAL {hours} HOUR, 'refreshed', 1"
    )


def test_increments_alone_do_not_keep_it_fresh(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IOT_DEVICES_SOURCE", "crm")
    for hours, is_full in ((0, 0), (26, 1)):
        platform.command(
            "INSERT INTO metadata_refreshes (source, started_at, outcome, is_full) "
            f"SELECT 'crm', now64(3) - INTERVAL {hours} HOUR, 'refreshed', {is_full}"
        )
    assert run_checks(instance, "device_metadata")["metadata_source_is_fresh"].passed
    monkeypatch.setenv("IOT_METADATA_WARN_H", "1")
    checked = run_checks(instance, "device_metadata")["metadata_source_is_fresh"]
    assert not checked.passed and checked.severity == WARN


def test_the_stored_metadata_is_checked_whoever_wrote_it(platform: Client, instance: dg.DagsterInstance) -> None:
    def check() -> dg.AssetCheckEvaluation:
        return run_checks(instance, "device_metadata")["metadata_contract_holds"]

    assert check().passed
    insert = (
        "INSERT INTO device_metadata (device_id, customer_id, building_type, latitude, longitude, valid_from) VALUES"
    )
    platform.command(f"{insert} (1, 'c1', 'office', 1, 2, 0), (1, 'c2', 'office', 1, 2, '2026-01-01')")
    assert check().passed
    platform.command(f"{insert} (2, 'c2', 'office', 0, 0, 0)")
    found = check()
    assert not found.passed and found.severity == WARN and facts(found)["breaches"] == 1
    platform.command(f"{insert} (3, ' ', 'office', 95, nan, 0)")
    found = check()
    assert not found.passed and found.severity == ERROR
    assert (facts(found)["versions"], facts(found)["breaches"]) == (4, 4)
    lines = [line.split(" | ")[2:] for line in facts(found)["offenders"].splitlines()[2:]]
    assert [line[0] for line in lines] == ["latitude, longitude", "customer_id", "latitude", "longitude"]
    sql = facts(found)["sql"].removeprefix("```sql\n").removesuffix("\n```")
    assert [row[0] for row in platform.query(sql).result_rows] == [2, 3]


@contextmanager
def web_server(answers: dict[str, tuple[int, bytes]]) -> Iterator[str]:
    """A web server; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = answers[self.path.partition("?")[0]]
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://user:verysecret@127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


def test_a_csv_behind_a_url(csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(csv, *SIX)
    answers = {"/devices.csv": (200, csv.read_bytes()), "/gone": (404, b""), "/broken": (503, b"")}
    with web_server(answers) as url:
        monkeypatch.setenv("IOT_DEVICES_CSV", f"{url}/devices.csv?signature=verysecret")
        assert "verysecret" not in repr(Settings())
        source = configured_source(Settings())
        assert source.location == f"http://{url.partition('@')[2]}/devices.csv"
        delivery = source.read()
        assert len(delivery.devices) == 6
        assert cursor_of(tick(None)) == delivery.position
        for path, problem in (("gone", "there is no such file"), ("broken", "HTTP status 503")):
            monkeypatch.setenv("IOT_DEVICES_CSV", f"{url}/{path}?signature=verysecret")
            with pytest.raises(SourceError, match=problem) as error:
                device_csv_source(Settings()).read()
            assert "verysecret" not in str(error.value) and error.value.__cause__ is None
    with pytest.raises(SourceError, match="cannot be read") as error:
        device_csv_source(Settings()).read()
    assert "verysecret" not in str(error.value)


def test_an_unknown_source_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_DEVICES_SOURCE", "salesforce")
    with pytest.raises(SourceError, match="'salesforce'.*Known: csv, crm"):
        configured_source(Settings())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("devices.csv", "devices.csv"),
        ("/a?b/c.csv", "/a?b/c.csv"),
        ("https://u:p@h:1/a.csv?sig=x#y", "https://h:1/a.csv"),
        ("s3://bucket/a.csv", "s3://bucket/a.csv"),
        ("simplecache::https://u:p@ss@h/a.csv?sig=x", "simplecache::https://h/a.csv"),
    ],
)
def test_secrets_of_a_url_are_not_shown(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
