"""The sensor that sends alerts."""

from __future__ import annotations

import datetime as dt

import dagster as dg
from pydantic import ValidationError

from iot_platform.alerts.channel import HOW_TO_CONFIGURE, channels
from iot_platform.alerts.incident import Pace
from iot_platform.alerts.outbox import AlertState, look
from iot_platform.defs.alerts.alert_context import Site
from iot_platform.defs.alerts.problems import SENSOR_NAME, current_problems
from iot_platform.errors import PlatformError
from iot_platform.security.secret_values import hide_secrets_in_errors
from iot_platform.settings import Settings

MINIMUM_INTERVAL_S = 30


def _start_status(settings: Settings) -> dg.DefaultSensorStatus:
    is_configured = bool(settings.alert_webhook_url or settings.alert_smtp_url)
    return dg.DefaultSensorStatus.RUNNING if is_configured else dg.DefaultSensorStatus.STOPPED


@dg.sensor(
    name=SENSOR_NAME,
    minimum_interval_seconds=MINIMUM_INTERVAL_S,
    default_status=_start_status(Settings()),
    description="Tells of failed runs, red checks, stale assets, failed ticks and a ClickHouse that is away, by "
    "webhook and mail: once for an outage, at most each hour what is new, each day what is left, and once "
    "when it is over. The cursor is what it knows and what a channel has not taken yet; reset, it tells "
    "anew of what is wrong. A message is sent before that is stored: when a tick is killed in between, it "
    "comes twice, but it is not lost.",
)
def alerts_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Look at what is wrong, and send what is to be sent."""
    with hide_secrets_in_errors():
        return _look_and_send(context)


def _look_and_send(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    settings = Settings()
    configured = channels(settings)
    if not configured:
        return dg.SkipReason(HOW_TO_CONFIGURE)
    repository = context.repository_def
    assert repository is not None
    state, now = _stored(context.cursor), _now()
    site = Site(context.instance, repository, settings)
    problems = current_problems(site, state.incident.run_ids, now)
    state, errors = look(state, problems, configured, now, pace(settings))
    for error in errors:
        context.log.error(error)
    return dg.SensorResult(skip_reason=_summary(state, len(problems), errors), cursor=state.model_dump_json())


def pace(settings: Settings) -> Pace:
    """How often to tell what, from the settings."""
    return Pace(
        settle=dt.timedelta(seconds=settings.alert_settle_s),
        clear=dt.timedelta(seconds=settings.alert_clear_s),
        repeat=dt.timedelta(minutes=settings.alert_repeat_minutes),
    )


def _stored(cursor: str | None) -> AlertState:
    try:
        return AlertState.model_validate_json(cursor) if cursor else AlertState()
    except ValidationError as error:
        raise PlatformError(
            f"The cursor of {SENSOR_NAME} is not what it stores. No alert was sent. Reset the cursor on the sensor's "
            "page; it tells anew of what is wrong."
        ) from error


def _summary(state: AlertState, problems: int, errors: list[str]) -> str:
    """What the tick shows: sensors without runs are always skipped."""
    facts = [f"{problems:,} problems; " + ("an incident is open" if state.incident.opened else "no incident") + "."]
    if state.waiting:
        facts.append(f"{len(state.waiting)} messages wait for a channel.")
    return " ".join([*facts, *errors])


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
