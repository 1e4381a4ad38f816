"""Have Dagster count the materialized days of an asset again after each run, because its own count can lose some.

Dagster keeps the days of each asset with their status, and adds the new ones when somebody asks. If it reads the newest
materialization of an asset just before a run materializes days, and the newest planned one just after another run was
planned, it takes the days in between for counted. They stay "missing" on the asset's page for good, although their
materializations are stored (dagster-io/dagster, pull request 27203, shows the fault). A backfill plans its next run
while the one before works, so it meets the fault often: 30 of 3,650 days were missing in a rehearsal.
"""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

import datetime as dt
from collections.abc import Iterable

import dagster as dg

from iot_platform.defs.dagster_internals import RunRecord
from iot_platform.defs.run_statuses import ENDED
from iot_platform.defs.times import utc_now

INTERVAL = dt.timedelta(seconds=60)
# A page may have stored an old count after the last tick, so the runs before it are looked at again.
OVERLAP = dt.timedelta(minutes=2)


def forget_counted_days(context: dg.SensorEvaluationContext) -> set[dg.AssetKey]:
    """Drop Dagster's count of days of all assets whose runs have ended since the last tick; returns the assets.

    The first tick drops that of all assets. Dagster counts them again from their materializations, which takes about
    0.1 s for ten years of days.
    """
    repository = context.repository_def
    assert repository is not None
    graph = repository.asset_graph
    counted = {key for key in graph.materializable_asset_keys if graph.get(key).partitions_def is not None}
    cursor = context.cursor
    context.update_cursor(utc_now().isoformat())
    if cursor:
        since = dt.datetime.fromisoformat(cursor) - OVERLAP
        ended = context.instance.get_run_records(dg.RunsFilter(statuses=ENDED, updated_after=since))
        found = counted & _assets(ended, counted)
    else:
        # The first tick reads no runs: an old storage holds more of them than can be read in the time of a tick.
        found = counted
    context.instance.wipe_asset_cached_status(sorted(found))
    return found


def _assets(ended: Iterable[RunRecord], every: set[dg.AssetKey]) -> set[dg.AssetKey]:
    """The assets of some runs; a run of a whole job does not say which, so it counts as one of ``every`` asset."""
    return {key for record in ended for key in record.dagster_run.asset_selection or every}


@dg.sensor(
    minimum_interval_seconds=int(INTERVAL.total_seconds()),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="After each run: has Dagster count the materialized days of the run's assets again, because its own "
    "count can lose days of runs that overlap. Requests no runs.",
)
def day_status_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    found = forget_counted_days(context)
    names = ", ".join(key.to_user_string() for key in sorted(found))
    return dg.SkipReason(f"Counted again: {names}." if found else "No run has ended.")
