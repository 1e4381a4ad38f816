"""The run queue with the configuration of a home: the order of waiting runs, and the slots that bulk runs leave."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from iot_platform.defs.jobs import FIRST, LAST, NIGHTLY, PRIORITY, SOON
from iot_platform.services.instance import dagster_home
from iot_platform.settings import Settings


@dg.op
def nothing() -> None:
    pass


@dg.job
def work() -> None:
    nothing()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(dagster_home(Settings(home=tmp_path)))) as found:
        yield found


def queue(instance: dg.DagsterInstance, count: int, **tags: str) -> None:
    """Put runs with a tag "kind" and others into the queue."""
    origin = RemoteJobOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("iot_platform"), "__repository__"), work.name
    )
    for _ in range(count):
        named = {name.replace("__", "/"): value for name, value in tags.items()}
        instance.create_run_for_job(work, status=dg.DagsterRunStatus.QUEUED, tags=named, remote_job_origin=origin)


def next_kinds(instance: dg.DagsterInstance) -> list[str]:
    """The kinds of the runs that the daemon would launch now, in its order."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    config = instance.get_concurrency_config()
    runs = daemon._get_runs_to_dequeue(instance, config, dt.datetime.now(dt.UTC).timestamp())  # noqa: SLF001
    return [run.tags["kind"] for run in runs]


def test_regular_work_goes_before_backfills_that_wait_longer(instance: dg.DagsterInstance) -> None:
    queue(instance, 10, kind="backfill", dagster__backfill="abc")
    queue(instance, 10, kind="nightly", **{NIGHTLY: "closed_days", PRIORITY: LAST})
    # One of four slots is left free, though many runs wait.
    assert next_kinds(instance) == ["backfill", "backfill", "nightly"]
    queue(instance, 1, kind="proof of today", **{PRIORITY: SOON})
    queue(instance, 1, kind="ingestion", **{PRIORITY: FIRST})
    assert next_kinds(instance) == ["ingestion", "proof of today", "backfill", "backfill"]
