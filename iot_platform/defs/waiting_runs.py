"""No schedule requests a run while one that it requested before still waits: it would do the same work.

Otherwise runs pile up on a busy machine: each hour, or each minute, adds one, and the later ones starve.
"""

from __future__ import annotations

import dagster as dg

from iot_platform.defs.dagster_internals import SCHEDULE_NAME_TAG
from iot_platform.defs.jobs import OWN_RUNS
from iot_platform.defs.run_statuses import WAITING


def unless_one_waits(
    context: dg.ScheduleEvaluationContext, schedule: str, request: dg.RunRequest
) -> dg.RunRequest | dg.SkipReason:
    """The request of a schedule; a reason to skip it while an earlier one waits to be started."""
    wanted = dg.RunsFilter(statuses=WAITING, tags=OWN_RUNS | {SCHEDULE_NAME_TAG: schedule})
    if waiting := context.instance.get_runs(wanted, limit=1):
        return dg.SkipReason(f"Run {waiting[0].run_id} of this schedule still waits to be started.")
    return request
