"""Failed runs: which are problems, and until when."""

from __future__ import annotations

import datetime as dt

import dagster as dg
from dagster._core.storage.tags import WILL_RETRY_TAG

from iot_platform_tests.defs.problems_location import DAY, LAST_DAY, NEXT_DAY, URL, defs, problems, run, upper


def test_a_failed_run_is_a_problem_until_its_work_is_done(instance: dg.DagsterInstance) -> None:
    run_id = run(instance, broken="upper")
    (found,) = problems(instance)
    assert (found.kind, found.partition, found.run_id, found.retrying) == ("run", DAY, run_id, False)
    assert found.title == f"layers_job of {DAY} failed"
    assert found.cause == f"ServerError: http://db:8123 does not answer (run {run_id})"
    assert found.detail == "Not done since: lower, upper, upper_is_right."
    assert found.owner == "ops@example.com, team:data-platform"
    assert found.link == f"{URL}/runs/{run_id}"
    # Another day says nothing of this one; the next failure of the same work is the same problem.
    run(instance, NEXT_DAY)
    again = run(instance, broken="lower")
    (still,) = problems(instance)
    assert (still.key, still.group) == (found.key, found.group.replace(found.cause, still.cause))
    assert (still.run_id, still.detail) == (again, "Not done since: lower.")
    run(instance)
    assert problems(instance) == []


def test_a_failed_run_is_a_problem_until_all_of_its_days_are_done(instance: dg.DagsterInstance) -> None:
    run(instance, DAY, "lower", last_day=LAST_DAY)
    (found,) = problems(instance)
    assert found.partition == f"{DAY} .. {LAST_DAY} (3 days)" and found.detail == "Not done since: lower."
    for day in (DAY, LAST_DAY):
        run(instance, day)
        assert [problem.key for problem in problems(instance)] == [found.key]
    run(instance, NEXT_DAY)
    assert problems(instance) == []


def test_runs_without_partitions_and_without_assets(instance: dg.DagsterInstance) -> None:
    run(instance, None, "devices", job="devices_job")
    run(instance, None, "task", job="task_job")
    found = {problem.title: problem for problem in problems(instance)}
    assert found.keys() == {"devices_job failed", "task_job failed"}
    assert found["devices_job failed"].cause == "Failure: Row 7 has no customer."
    assert found["task_job failed"].cause == "ValueError: no"
    run(instance, None, job="devices_job")
    run(instance, None, job="task_job")
    assert problems(instance) == []


def test_a_run_whose_process_died(instance: dg.DagsterInstance) -> None:
    job = defs.resolve_job_def("devices_job")
    died = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(died, "Its process has ended unexpectedly.")
    (found,) = problems(instance)
    assert (found.title, found.cause) == ("devices_job failed", "Its process has ended unexpectedly.")
    assert found.detail == "Not done since: devices."
    run(instance, None, job="devices_job")
    assert problems(instance) == []


def test_a_run_by_hand_is_named_by_its_assets(instance: dg.DagsterInstance) -> None:
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection={upper.key})
    job.execute_in_process(instance=instance, partition_key=DAY, tags={"broken": "upper"}, raise_on_error=False)
    (found,) = problems(instance)
    assert found.title == f"Materialization of upper of {DAY} failed"


def test_a_run_that_is_retried_is_neither_over_nor_new(instance: dg.DagsterInstance) -> None:
    run_id = run(instance, broken="upper")
    # Dagster's daemon marks what it is going to retry, and launches it soon, or never.
    instance.add_run_tags(run_id, {WILL_RETRY_TAG: "true"})
    assert [problem.retrying for problem in problems(instance)] == [True]
    assert [problem.retrying for problem in problems(instance, after=dt.timedelta(minutes=6))] == [False]
    job = defs.resolve_job_def("layers_job")
    status = dg.DagsterRunStatus.STARTED
    retry = instance.create_run_for_job(job, status=status, parent_run_id=run_id, root_run_id=run_id)
    assert [problem.retrying for problem in problems(instance, after=dt.timedelta(minutes=6))] == [True]
    # An older failure of the same work that nobody retries is one all the same.
    older = run(instance, NEXT_DAY, "upper")
    newer = run(instance, NEXT_DAY, "upper")
    instance.add_run_tags(newer, {WILL_RETRY_TAG: "true"})
    assert {problem.run_id: problem.retrying for problem in problems(instance)} == {run_id: True, older: False}
    instance.report_run_canceled(retry)
    assert not any(problem.retrying for problem in problems(instance, after=dt.timedelta(minutes=6)))


def test_an_open_problem_does_not_expire(instance: dg.DagsterInstance) -> None:
    run_id = run(instance, broken="upper")
    month = dt.timedelta(days=30)
    assert [problem.run_id for problem in problems(instance, run_id, after=month)] == [run_id]
    assert problems(instance, after=month) == []
    # Deleting the run is how to say that it does not matter.
    instance.delete_run(run_id)
    assert problems(instance, run_id) == []
