"""Everything that is wrong now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from iot_platform.alerts.problem import Problem, one_line
from iot_platform.clickhouse.client import connect
from iot_platform.clickhouse.embedded_server import running_server
from iot_platform.defs.alerts.alert_context import Site, cause_of, utc
from iot_platform.defs.alerts.checks import check_problems, evaluations
from iot_platform.defs.alerts.runs import run_problems
from iot_platform.defs.dagster_internals import (
    FreshnessState,
    InstigatorState,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickStatus,
)
from iot_platform.errors import MissingDatabaseError, ServerError

ENDED = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]
SENSOR_NAME = "alerts_sensor"
PROBE_TIMEOUT_S = 5


def current_problems(site: Site, known_runs: Sequence[str], now: dt.datetime) -> list[Problem]:
    """Failed runs, red checks, stale assets, schedules and sensors that cannot be evaluated, ClickHouse away.

    ``known_runs``: failed runs to look at whatever their age.
    """
    evaluated = evaluations(site)
    red_checks = check_problems(site, evaluated)
    found = [
        *red_checks,
        *run_problems(site, evaluated, red_checks, known_runs, now),
        *stale_assets(site),
        *failed_ticks(site),
        *clickhouse_away(site, now),
    ]
    return list({problem.key: problem for problem in found}.values())


def stale_assets(site: Site) -> list[Problem]:
    """Assets whose freshness policy fails, as Dagster's freshness daemon last found."""
    keys = sorted(site.graph.materializable_asset_keys)
    return [
        Problem(
            key=f"stale/{key.to_user_string()}",
            kind="stale",
            title=f"{key.to_user_string()} is stale",
            cause="Assets are stale: nothing materialized them within their freshness policy",
            owner=site.owners([key]),
            partition="",
            detail="",
            link=site.asset_link(key),
            since=record.updated_at,
        )
        for key, record in site.instance.get_freshness_state_records(keys).items()
        if record.freshness_state == FreshnessState.FAIL
    ]


def failed_ticks(site: Site) -> list[Problem]:
    """Running schedules and sensors whose newest evaluation failed: what they should have started is missing.

    Only evaluations since they were switched on count: switching one off and on is how to acknowledge it.
    """
    problems = []
    for state in site.instance.all_instigator_state():
        name = state.instigator_name
        is_ours = site.repository.has_schedule_def(name) or site.repository.has_sensor_def(name)
        # Its own failed tick could not be told by it.
        if not state.is_running or not is_ours or name == SENSOR_NAME:
            continue
        ticks = site.instance.get_ticks(
            state.instigator_origin_id, state.selector_id, after=_switched_on(state), limit=1, statuses=ENDED
        )
        if ticks and ticks[0].status == TickStatus.FAILURE:
            kind = "Schedule" if state.instigator_type == InstigatorType.SCHEDULE else "Sensor"
            location = state.origin.repository_origin.code_location_origin.location_name
            problems.append(
                Problem(
                    key=f"tick/{name}",
                    kind="tick",
                    title=f"{kind} {name} failed to ask for its runs",
                    cause=cause_of(ticks[0].error, "The tick failed."),
                    owner="",
                    partition="",
                    detail="",
                    link=site.link(f"locations/{location}/{kind.lower()}s/{name}"),
                    since=utc(ticks[0].timestamp),
                )
            )
    return problems


def clickhouse_away(site: Site, now: dt.datetime) -> list[Problem]:
    """The configured ClickHouse server, when it does not answer: runs try again for minutes before they fail.

    The embedded server is started by whoever needs it.
    """
    if site.settings.clickhouse_url is None:
        return []
    limits = {"connect_timeout_s": PROBE_TIMEOUT_S, "query_timeout_s": PROBE_TIMEOUT_S}
    settings = site.settings.model_copy(update=limits)
    try:
        with running_server(settings) as endpoint:
            connect(endpoint, settings).close()
        return []
    except MissingDatabaseError:
        # It answers; the first run makes the database.
        return []
    except ServerError as error:
        return [
            Problem(
                key="server/clickhouse",
                kind="server",
                title="ClickHouse does not answer",
                # As a run says it that fails of it: then they are of one cause.
                cause=one_line(f"{type(error).__name__}: {error}"),
                owner=site.settings.owner,
                partition="",
                detail="",
                link=site.link("runs"),
                since=now,
            )
        ]


def _switched_on(state: InstigatorState) -> float | None:
    data = state.instigator_data
    if isinstance(data, ScheduleInstigatorData):
        return data.start_timestamp
    return data.last_sensor_start_timestamp if isinstance(data, SensorInstigatorData) else None
