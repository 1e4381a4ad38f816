"""The inbox in Dagster: what the sensor requests, what its runs show, and which problems are reported."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.alerts.incident import Incident, Pace, next_step
from iot_platform.alerts.problem import Problem
from iot_platform.defs.inbox import sensor as module
from iot_platform.defs.inbox.asset import inbox_files, inbox_job
from iot_platform.defs.inbox.sensor import inbox_sensor
from iot_platform.defs.jobs import OWN_RUNS
from iot_platform.defs.problems.context import ProblemContext
from iot_platform.defs.problems.current import current_problems
from iot_platform.defs.resources import ClickHouse, no_values
from iot_platform.errors import SourceError
from iot_platform.settings import Settings
from iot_platform_tests.defs.dagster_runs import metadata_of, unfinished_run

GOOD = "time,device_id,kwh\n2024-01-01 00:00,m1,1\n2024-01-01 00:30,m1,2\n"
BAD = "a,b\n1,2\n"
SETTLE = dt.timedelta(seconds=20)

defs = dg.Definitions(
    assets=[inbox_files],
    jobs=[inbox_job],
    sensors=[inbox_sensor],
    resources={"clickhouse": ClickHouse(), "io_manager": no_values},
    executor=dg.in_process_executor,
)


class Dagster:
    """Looks at the inbox as Dagster's daemon does, and runs what is requested."""

    def __init__(self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.instance = instance
        self.cursor: str | None = None
        self.now = dt.datetime.now(dt.UTC)
        monkeypatch.setattr(module, "utc_now", lambda: self.now)

    def look(self, after: dt.timedelta = SETTLE) -> list[str] | None:
        """The paths that a tick requests, or None; ``self.skipped`` says why."""
        self.now += after
        context = dg.build_sensor_context(cursor=self.cursor, definitions=defs, instance=self.instance)
        found = inbox_sensor(context)
        assert isinstance(found, dg.SensorResult | dg.SkipReason)
        if isinstance(found, dg.SkipReason):
            self.skipped = str(found.skip_message)
            return None
        self.cursor = found.cursor
        if not found.run_requests:
            self.skipped = str(found.skip_reason and found.skip_reason.skip_message)
            return None
        [self.request] = found.run_requests
        paths: list[str] = self.request.run_config["ops"]["inbox_files"]["config"]["paths"]
        return paths

    def run(self, config: Any = None, *, raise_on_error: bool = True) -> dict[str, Any]:
        """Run what was requested last; the metadata of the materialization."""
        job = defs.resolve_job_def("inbox_job")
        result = job.execute_in_process(
            instance=self.instance,
            run_config=self.request.run_config if config is None else config,
            tags=OWN_RUNS,
            raise_on_error=raise_on_error,
        )
        return metadata_of(self.instance, "inbox_files") if result.success else {}

    def problems(self) -> list[Problem]:
        """The files that are reported."""
        context = ProblemContext(self.instance, defs.get_repository_def(), Settings())
        return [problem for problem in current_problems(context, [], self.now) if problem.kind == "file"]


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    monkeypatch.setenv("IOT_INBOX", str(path))
    return path


@pytest.fixture
def dagster(instance: dg.DagsterInstance, platform: Client, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> Dagster:
    return Dagster(instance, monkeypatch)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    # A run leaves out what was written just now, by the real clock.
    changed_at = path.stat().st_mtime - 3600
    os.utime(path, (changed_at, changed_at))


def test_a_file_is_loaded_once_it_does_not_change_any_more(dagster: Dagster, inbox: Path, platform: Client) -> None:
    assert dagster.look() is None and "No file is new" in dagster.skipped
    assert dagster.look() is None and "Nothing has changed" in dagster.skipped
    write(inbox / "a.csv", GOOD[:-10])
    assert dagster.look() is None and "must not change" in dagster.skipped
    write(inbox / "a.csv", GOOD)
    assert dagster.look() is None
    assert dagster.look(SETTLE / 2) is None
    assert dagster.look() == ["a.csv"]
    shown = dagster.run()
    assert (shown["files_loaded"], shown["added_readings"], shown["files_failed"]) == (1, 2, 0)
    [_, _, row] = shown["files"].splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:10] == ["a.csv", "loaded", "2", "2", "0", "0", "3.000", "kWh", "UTC", "start"]
    assert cells[10:14] == ["30 min", "2024-01-01T00:00:00Z", "2024-01-01T00:30:00Z", "1"]
    assert platform.query("SELECT sum(power_usage_kWh) FROM l2_power_cleaned").result_rows == [(3.0,)]
    assert dagster.look() is None
    # A changed file is loaded again; another cursor changes nothing.
    write(inbox / "a.csv", GOOD + "2024-01-01 01:00,m1,4\n")
    assert dagster.look() is None
    assert dagster.look() == ["a.csv"] and dagster.run()["added_readings"] == 3
    # What was in it before is a duplicate, until the day is proved.
    distinct = "SELECT DISTINCT timestamp, device_id, power_usage_kWh FROM l1_power_raw"
    assert platform.query(f"SELECT sum(power_usage_kWh), count() FROM ({distinct})").result_rows == [(7.0, 3)]
    dagster.cursor = "nonsense"
    assert dagster.look() is None and dagster.look() is None


def test_a_bad_file_is_one_problem_until_it_is_replaced(dagster: Dagster, inbox: Path) -> None:
    write(inbox / "bad\n*file*.csv", BAD)
    write(inbox / "good.csv", GOOD)
    write(inbox / "also bad.csv", "")
    dagster.look()
    assert sorted(dagster.look() or []) == ["also bad.csv", "bad\n*file*.csv", "good.csv"]
    shown = dagster.run()
    assert (shown["files_loaded"], shown["files_failed"]) == (1, 2)
    empty, bad = sorted(dagster.problems(), key=lambda problem: problem.title)
    assert bad.title == "File 'bad\\n*file*.csv' of the inbox was not loaded"
    assert "\n" not in bad.cause and bad.owner == "team:data-platform" and empty.cause.endswith("the file is empty.")
    pace = Pace(dt.timedelta(0), dt.timedelta(0), dt.timedelta(0))
    incident, message = next_step(Incident(), dagster.problems(), dagster.now, pace)
    assert message and message.subject.startswith("2 problems")
    # Written again with the same content: the same problem, of which nothing more is told.
    os.utime(inbox / "bad\n*file*.csv", ns=(1, 1))
    dagster.look()
    assert dagster.look() == ["bad\n*file*.csv"]
    dagster.run()
    incident, message = next_step(incident, dagster.problems(), dagster.now, pace)
    assert message is None and bad.key in {problem.key for problem in dagster.problems()}
    # Another run does not forget it. One is removed, the other replaced.
    (inbox / "also bad.csv").unlink()
    assert dagster.look() == [] and dagster.run()["files_that_cannot_be_loaded_count"] == 1
    assert [problem.key for problem in dagster.problems()] == [bad.key]
    write(inbox / "bad\n*file*.csv", GOOD)
    dagster.look()
    assert dagster.look() == ["bad\n*file*.csv"]
    assert "loaded before" in dagster.run()["files"]
    assert dagster.problems() == []


def test_files_are_bounded_per_run_and_one_run_goes_on_at_a_time(
    dagster: Dagster, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IOT_INBOX_FILES_PER_RUN", "2")
    for number in range(5):
        write(inbox / f"{number}.csv", GOOD.replace("m1", f"m{number}"))
        os.utime(inbox / f"{number}.csv", (1000 + number, 1000 + number))
    dagster.look()
    assert dagster.look() == ["0.csv", "1.csv"]
    run_id = unfinished_run(dagster.instance, defs.resolve_job_def("inbox_job"), dg.DagsterRunStatus.STARTED)
    assert dagster.look() is None and "goes on" in dagster.skipped
    dagster.instance.delete_run(run_id)
    dagster.run()
    assert dagster.look() == ["2.csv", "3.csv"]
    dagster.run()
    # Without paths, as from the Launchpad: all that are due.
    assert dagster.run({})["files_loaded"] == 1
    assert dagster.look() is None


def test_a_run_that_failed_is_requested_again_after_a_pause(
    dagster: Dagster, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(inbox / "a.csv", GOOD)
    dagster.now -= dt.timedelta(minutes=2)
    dagster.look()
    assert dagster.look() == ["a.csv"]
    with monkeypatch.context() as away:
        away.setenv("IOT_INBOX", str(inbox / "nothing"))
        assert dagster.run(raise_on_error=False) == {}
        with pytest.raises(SourceError, match="the inbox cannot be read: No such file"):
            dagster.look()
    assert dagster.look() is None and "last run of the inbox failed" in dagster.skipped
    assert dagster.look(dt.timedelta(minutes=10)) == ["a.csv"]
    assert dagster.run()["files_loaded"] == 1


def test_a_run_reads_nothing_outside_of_the_inbox(dagster: Dagster, inbox: Path, tmp_path: Path) -> None:
    write(tmp_path / "secret.csv", GOOD)
    paths = ["../secret.csv", str(tmp_path / "secret.csv")]
    assert dagster.run({"ops": {"inbox_files": {"config": {"paths": paths}}}})["files"] == "(no rows)"


@pytest.mark.parametrize("is_set", [True, False])
def test_there_is_an_inbox_only_when_it_is_set(tmp_path: Path, is_set: bool) -> None:
    code = (
        "from iot_platform.definitions import defs\n"
        "names = [s.key.to_user_string() for s in defs.resolve_all_asset_specs()] + [s.name for s in defs.sensors]\n"
        "print(*[name for name in names if 'inbox' in name])"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("IOT_INBOX")}
    env |= {"IOT_INBOX": str(tmp_path)} if is_set else {}
    shown = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert shown.stdout.split() == (["inbox_files", "inbox_sensor"] if is_set else [])
