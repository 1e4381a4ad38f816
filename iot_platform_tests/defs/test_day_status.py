"""Dagster's count of materialized days: that it can lose days, and that it is complete again after the next tick."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest
from dagster._core.events import AssetMaterializationPlannedData
from dagster._core.storage.partition_status_cache import _build_status_cache, get_and_update_asset_status_cache_value

from iot_platform.defs import day_status
from iot_platform.defs.day_status import OVERLAP, forget_counted_days
from iot_platform_tests.defs.problems_location import DAY, LAST_DAY, NEXT_DAY, daily, defs, run, upper


def counted(instance: dg.DagsterInstance) -> set[str]:
    """The days that the asset's page shows as materialized."""
    count = get_and_update_asset_status_cache_value(instance, upper.key, daily)
    return set(count.deserialize_materialized_partition_subsets(daily).get_partition_keys()) if count else set()


def lose(instance: dg.DagsterInstance, day: str) -> None:
    """Materialize a day while Dagster counts, and plan another one before it has finished counting."""
    counted(instance)
    [before] = instance.get_asset_records([upper.key])
    run(instance, day)
    planned = AssetMaterializationPlannedData(upper.key, partition=LAST_DAY)
    instance.report_dagster_event(
        dg.DagsterEvent.build_asset_materialization_planned_event("layers_job", "upper", planned),
        run_id=instance.create_run_for_job(defs.resolve_job_def("layers_job")).run_id,
    )
    count = _build_status_cache(instance, upper.key, daily, before.asset_entry.cached_status, before)
    assert count
    instance.update_asset_cached_status_data(upper.key, count)


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> tuple[set[str], str]:
    """The assets whose days a tick had counted again, and its cursor."""
    context = dg.build_sensor_context(instance, cursor=cursor, definitions=defs)
    found = forget_counted_days(context)
    assert context.cursor
    return {key.to_user_string() for key in found}, context.cursor


def test_days_that_dagster_lost_are_counted_again(instance: dg.DagsterInstance) -> None:
    run(instance, DAY)
    lose(instance, NEXT_DAY)
    # When this fails, Dagster has mended its count and the sensor can go.
    assert counted(instance) == {DAY}
    assert tick(instance)[0] == {"upper", "lower"}
    assert counted(instance) == {DAY, NEXT_DAY}


def test_a_tick_looks_at_the_runs_since_the_last_one(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = dt.datetime.now(dt.UTC)
    with monkeypatch.context() as old:
        # The first tick must not read all runs of an old storage.
        old.setattr(instance, "get_run_records", None)
        assert tick(instance)[0] == {"upper", "lower"}
    assert tick(instance, now.isoformat())[0] == set()
    run(instance, DAY)
    found, cursor = tick(instance, (now - dt.timedelta(days=1)).isoformat())
    assert found == {"upper", "lower"}
    # Twice, in case that a page was being computed at the first tick; then no more.
    assert tick(instance, cursor)[0] == {"upper", "lower"}
    monkeypatch.setattr(day_status, "utc_now", lambda: now + 2 * OVERLAP)
    _, cursor = tick(instance, cursor)
    assert tick(instance, cursor)[0] == set()
    run(instance, None, job="devices_job")
    assert tick(instance, now.isoformat())[0] == {"upper", "lower"}
