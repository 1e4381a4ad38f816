"""Run jobs and checks of the code location in this process, as the UI and the daemon do in theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from iot_platform.definitions import defs


def run_job(
    name: str,
    instance: dg.DagsterInstance,
    day: str | None = None,
    *,
    last_day: str | None = None,
    raise_on_error: bool = True,
    run_config: Mapping[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    """A run for one day, for the days ``day`` .. ``last_day``, or without partitions."""
    tags = {}
    if last_day and day:
        tags = {"dagster/asset_partition_range_start": day, "dagster/asset_partition_range_end": last_day}
    return defs.resolve_job_def(name).execute_in_process(
        instance=instance,
        partition_key=None if last_day else day,
        tags=tags,
        raise_on_error=raise_on_error,
        run_config=run_config or {},
    )


def metadata_of(instance: dg.DagsterInstance, asset: str, day: str | None = None) -> dict[str, Any]:
    """Plain values of the metadata of an asset's newest materialization (of one day)."""
    wanted = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[day] if day else None)
    event = instance.fetch_materializations(wanted, limit=1).records[0].asset_materialization
    assert event
    return {name: value.value for name, value in event.metadata.items()}


def run_checks(
    instance: dg.DagsterInstance, asset: str, *, day: str | None = None, tags: Mapping[str, str] | None = None
) -> dict[str, dg.AssetCheckEvaluation]:
    """All checks of an asset without materializing it: for one day, for what the tags of the run say, or for all."""
    keys = {key for key in defs.resolve_asset_graph().asset_check_keys if key.asset_key == dg.AssetKey(asset)}
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=set(), asset_check_selection=keys)
    # A blocking check that fails makes the run fail.
    result = job.execute_in_process(
        instance=instance, tags={"dagster/partition": day} if day else dict(tags or {}), raise_on_error=False
    )
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def unfinished_run(
    instance: dg.DagsterInstance,
    job: dg.JobDefinition,
    status: dg.DagsterRunStatus,
    *,
    run_config: Mapping[str, Any] | None = None,
    location: str = "iot_platform",
) -> str:
    """Store a run of a code location with a status, and nothing of it is executed; its id."""
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__")
    origin = RemoteJobOrigin(repository, job.name)
    run = instance.create_run_for_job(job, status=status, remote_job_origin=origin, run_config=run_config)
    return run.run_id
