"""Old runs: which are removed, and which stay because Dagster or an alert still needs them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

from iot_platform.definitions import defs as platform_defs
from iot_platform.defs.jobs import OWN_RUNS
from iot_platform.defs.old_runs import remove_old_runs, remove_old_runs_schedule
from iot_platform.defs.problems.context import ProblemContext
from iot_platform.settings import Settings
from iot_platform_tests.defs.dagster_runs import unfinished_run
from iot_platform_tests.defs.problems_location import DAY, LAST_DAY, NEXT_DAY, defs, devices, problems, run, upper


def removed(instance: dg.DagsterInstance, *, after_days: float) -> set[str]:
    """The runs that are removed some days from now, with runs kept for 14 days."""
    context = ProblemContext(instance, defs.get_repository_def(), Settings(runs_kept_days=14))
    return set(remove_old_runs(context, dt.datetime.now(dt.UTC) + dt.timedelta(days=after_days)))


def left(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def files_of(instance: dg.DagsterInstance, run_id: str) -> list[Path]:
    return [path for path in Path(instance.root_directory).rglob("*") if run_id in path.name]


def test_superseded_runs_are_removed_with_their_files(instance: dg.DagsterInstance) -> None:
    old, new = run(instance), run(instance)
    metadata_old, metadata_new = (run(instance, None, job="devices_job") for _ in range(2))
    assert files_of(instance, old)
    assert removed(instance, after_days=13) == set()
    assert removed(instance, after_days=15) == {old, metadata_old}
    assert left(instance) == {new, metadata_new}
    assert files_of(instance, old) == [] and files_of(instance, new)
    # Dagster still shows every day as materialized.
    assert instance.get_materialized_partitions(upper.key) == {DAY}
    assert instance.get_latest_materialization_event(devices.key)
    assert removed(instance, after_days=400) == set()


def test_a_run_that_holds_the_newest_materialization_of_one_day_stays(instance: dg.DagsterInstance) -> None:
    month = run(instance, DAY, last_day=LAST_DAY)
    for day in (DAY, NEXT_DAY):
        run(instance, day)
    assert removed(instance, after_days=15) == set()
    run(instance, LAST_DAY)
    assert removed(instance, after_days=15) == {month}


def test_runs_with_open_problems_stay_whatever_their_age(instance: dg.DagsterInstance) -> None:
    failed_check = run(instance, broken="check")
    failed = run(instance, None, "task", job="task_job")
    first = run(instance, NEXT_DAY, "upper")
    again = run(instance, NEXT_DAY, "upper")
    assert removed(instance, after_days=400) == {first}
    assert left(instance) == {failed_check, failed, again}
    assert {problem.run_id for problem in problems(instance, failed, again, after=dt.timedelta(days=400))} == {
        failed_check,
        failed,
        again,
    }
    for day in (DAY, NEXT_DAY):
        run(instance, day)
    done = run(instance, None, job="task_job")
    assert removed(instance, after_days=15) == {failed_check, failed, again, done}


def test_a_check_that_passed_later_by_itself_stays_passed(instance: dg.DagsterInstance) -> None:
    failed = run(instance, broken="check")
    checked, again = (run(instance, None, job="checks_job") for _ in range(2))
    repaired = run(instance, job="lower_job")
    assert problems(instance) == []
    # The failed run holds the newest materialization of its day, so its check would count again.
    assert removed(instance, after_days=400) == {checked}
    assert left(instance) == {failed, again, repaired}
    assert problems(instance) == []


def backfill(status: BulkActionStatus) -> PartitionBackfill:
    return PartitionBackfill("slow", status, from_failure=False, tags={}, backfill_timestamp=0.0)


def test_runs_of_a_backfill_that_goes_on_stay(instance: dg.DagsterInstance) -> None:
    instance.add_backfill(backfill(BulkActionStatus.REQUESTED))
    of_backfill, other, _ = (run(instance) for _ in range(3))
    instance.add_run_tags(of_backfill, {"dagster/backfill": "slow"})
    assert removed(instance, after_days=400) == {other}
    instance.update_backfill(backfill(BulkActionStatus.COMPLETED_SUCCESS))
    assert removed(instance, after_days=400) == {of_backfill}


def test_runs_of_other_code_locations_stay(instance: dg.DagsterInstance) -> None:
    other, own = run(instance, location="billing"), run(instance)
    run(instance)
    assert removed(instance, after_days=400) == {own}
    assert other in left(instance)
    label = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("iot_platform"), "__repository__").get_label()
    assert list(OWN_RUNS.values()) == [label]


def test_runs_that_have_not_ended_stay(instance: dg.DagsterInstance) -> None:
    job = defs.resolve_job_def("devices_job")
    for status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED):
        unfinished_run(instance, job, status)
    assert removed(instance, after_days=400) == set()


def test_the_job_and_its_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        job = dg.reconstructable(_job)
        result = dg.execute_job(job, instance)
        assert result.success
    context = dg.build_schedule_context(repository_def=platform_defs.get_repository_def())
    assert remove_old_runs_schedule.evaluate_tick(context).run_requests


def _job() -> dg.JobDefinition:
    return platform_defs.resolve_job_def("remove_old_runs_job")
