"""Schedules: nothing is requested while the last run of a schedule still waits."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest

from iot_platform.definitions import defs
from iot_platform.defs.devices.schedule import refresh_metadata_schedule
from iot_platform.defs.layers.schedules import prove_today_schedule
from iot_platform_tests.defs.dagster_runs import unfinished_run

NOW = dt.datetime(2026, 1, 5, 6, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize("schedule", [prove_today_schedule, refresh_metadata_schedule])
def test_a_schedule_requests_nothing_while_a_run_of_it_waits(
    instance: dg.DagsterInstance, schedule: dg.ScheduleDefinition
) -> None:
    def ticks() -> bool:
        context = dg.build_schedule_context(
            instance, scheduled_execution_time=NOW, repository_def=defs.get_repository_def()
        )
        return bool(schedule.evaluate_tick(context).run_requests)

    job = defs.resolve_job_def(schedule.job_name)
    tags = {"dagster/schedule_name": schedule.name}
    for status, location in (("STARTED", "iot_platform"), ("QUEUED", "billing")):
        run = unfinished_run(instance, job, dg.DagsterRunStatus(status), location=location)
        instance.add_run_tags(run, tags)
        assert ticks()
    waiting = unfinished_run(instance, job, dg.DagsterRunStatus.QUEUED)
    assert ticks(), "it is a run of another schedule, or of a person"
    instance.add_run_tags(waiting, tags)
    assert not ticks()
    run_record = instance.get_run_by_id(waiting)
    assert run_record
    instance.report_run_canceled(run_record)
    assert ticks()
