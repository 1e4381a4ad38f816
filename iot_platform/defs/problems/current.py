"""All current problems."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from iot_platform.alerts.problem import Problem, one_line
from iot_platform.clickhouse.client import connect
from iot_platform.clickhouse.embedded_server import running_server
from iot_platform.defs.dagster_internals import (
    FreshnessState,
    InstigatorState,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickStatus,
)
from iot_platform.defs.problems.checks import check_problems, evaluations
from iot_platform.defs.problems.context import ProblemContext, cause_of
from iot_platform.defs.problems.inbox import inbox_problems
from iot_platform.defs.problems.runs import run_problems
from iot_platform.defs.times import from_dagster
from iot_platform.errors import MissingDatabaseError, ServerError

ENDED_TICKS = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]
SENSOR_NAME = "alerts_sensor"
PROBE_TIMEOUT_S = 5


def current_problems(context: ProblemContext, known_runs: Sequence[str], now: dt.datetime) -> list[Problem]:
    """Failed runs, checks, schedules and sensors, stale assets, files that were not loaded, no answer of ClickHouse.

    ``known_runs``: failed runs that count whatever their age.
    """
    evaluated = evaluations(context)
    failed_checks = check_problems(context, evaluated)
    found = [
        *failed_checks,
        *run_problems(context, evaluated, failed_checks, known_runs, now),
        *stale_assets(context),
        *failed_ticks(context),
        *inbox_problems(context),
        *unreachable_clickhouse(context, now),
    ]
    return list({problem.key: problem for problem in found}.values())


def stale_assets(context: ProblemContext) -> list[Problem]:
    """Assets whose freshness policy has failed, as last found by Dagster's freshness daemon."""
    keys = sorted(context.graph.materializable_asset_keys)
    return [
        Problem(
            key=f"stale/{key.to_user_string()}",
            kind="stale",
            title=f"{key.to_user_string()} is stale",
            cause="Assets are stale: nothing materialized them within their freshness policy",
            owner=context.owners([key]),
            partition="",
            detail="",
            link=context.asset_link(key),
            since=record.updated_at,
        )
        for key, record in context.instance.get_freshness_state_records(keys).items()
        if record.freshness_state == FreshnessState.FAIL
    ]


def failed_ticks(context: ProblemContext) -> list[Problem]:
    """Running schedules and sensors whose newest evaluation failed: they could not request their runs.

    Only evaluations since they were switched on count: to acknowledge a failure, switch the schedule off and on.
    """
    problems = []
    for state in context.instance.all_instigator_state():
        name = state.instigator_name
        is_ours = context.repository.has_schedule_def(name) or context.repository.has_sensor_def(name)
        # The alerts sensor cannot report its own failure.
        if not state.is_running or not is_ours or name == SENSOR_NAME:
            continue
        ticks = context.instance.get_ticks(
            state.instigator_origin_id, state.selector_id, after=_switched_on(state), limit=1, statuses=ENDED_TICKS
        )
        if ticks and ticks[0].status == TickStatus.FAILURE:
            kind = "Schedule" if state.instigator_type == InstigatorType.SCHEDULE else "Sensor"
            location = state.origin.repository_origin.code_location_origin.location_name
            problems.append(
                Problem(
                    key=f"tick/{name}",
                    kind="tick",
                    title=f"{kind} {name} could not request its runs",
                    cause=cause_of(ticks[0].error, "The tick failed."),
                    owner="",
                    partition="",
                    detail="",
                    link=context.link(f"locations/{location}/{kind.lower()}s/{name}"),
                    since=from_dagster(ticks[0].timestamp),
                )
            )
    return problems


def unreachable_clickhouse(context: ProblemContext, now: dt.datetime) -> list[Problem]:
    """The configured ClickHouse server, when it does not answer. Runs would fail only after minutes of retries.

    The embedded server is not checked: it is started when it is needed.
    """
    if context.settings.clickhouse_url is None:
        return []
    limits = {"connect_timeout_s": PROBE_TIMEOUT_S, "query_timeout_s": PROBE_TIMEOUT_S}
    settings = context.settings.model_copy(update=limits)
    try:
        with running_server(settings) as endpoint:
            connect(endpoint, settings).close()
        return []
    except MissingDatabaseError:
        # The server answers. The first run creates the database.
        return []
    except ServerError as error:
        return [
            Problem(
                key="server/clickhouse",
                kind="server",
                title="ClickHouse does not answer",
                # The same text as in runs that fail because of it, so that all have the same cause.
                cause=one_line(f"{type(error).__name__}: {error}"),
                owner=context.settings.owner,
                partition="",
                detail="",
                link=context.link("runs"),
                since=now,
            )
        ]


def _switched_on(state: InstigatorState) -> float | None:
    data = state.instigator_data
    if isinstance(data, ScheduleInstigatorData):
        return data.start_timestamp
    return data.last_sensor_start_timestamp if isinstance(data, SensorInstigatorData) else None
