"""The sensor that sends alerts."""

from __future__ import annotations

import datetime as dt

import dagster as dg
from pydantic import ValidationError

from iot_platform.alerts.channel import HOW_TO_CONFIGURE, channels
from iot_platform.alerts.incident import Pace
from iot_platform.alerts.outbox import AlertState, send_due
from iot_platform.defs.problems.context import ProblemContext
from iot_platform.defs.problems.current import SENSOR_NAME, current_problems
from iot_platform.defs.times import utc_now
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
    description="Sends alerts by webhook and mail about failed runs, failed checks, stale assets, failed schedules and "
    "sensors, files of the inbox that cannot be loaded, and an unreachable ClickHouse: one message per outage, new "
    "problems at most every hour, a reminder every "
    "day, and one message when all is well again. The cursor holds the known problems and the messages that a channel "
    "has not accepted yet. After a reset, current problems are reported again. If a tick is killed after sending and "
    "before storing the cursor, a message arrives twice; none is lost.",
)
def alerts_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Find the current problems and send the messages that are due."""
    with hide_secrets_in_errors():
        return _find_and_send(context)


def _find_and_send(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    settings = Settings()
    configured = channels(settings)
    if not configured:
        return dg.SkipReason(HOW_TO_CONFIGURE)
    repository = context.repository_def
    assert repository is not None
    state, now = _stored(context.cursor), utc_now()
    problems = current_problems(ProblemContext(context.instance, repository, settings), state.incident.run_ids, now)
    state, errors = send_due(state, problems, configured, now, pace(settings))
    for error in errors:
        context.log.error(error)
    return dg.SensorResult(skip_reason=_summary(state, len(problems), errors), cursor=state.model_dump_json())


def pace(settings: Settings) -> Pace:
    """How often messages are sent, from the settings."""
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
            f"The cursor of {SENSOR_NAME} cannot be read. No alert was sent. Reset the cursor on the sensor's page: "
            "current problems are then reported again."
        ) from error


def _summary(state: AlertState, problems: int, errors: list[str]) -> str:
    """The text of the tick: a sensor that requests no runs always skips."""
    sentences = [f"{problems:,} problems; " + ("an incident is open" if state.incident.opened else "no incident") + "."]
    if state.waiting:
        sentences.append(f"{len(state.waiting)} messages wait for a channel.")
    return " ".join([*sentences, *errors])
