"""The state between two ticks: the incident, and the messages that a channel has not accepted yet."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from iot_platform.alerts.channel import Channel
from iot_platform.alerts.incident import Incident, Pace, next_step
from iot_platform.alerts.message import Message
from iot_platform.alerts.problem import Problem
from iot_platform.errors import DeliveryError

# Usually enough for days: new problems are reported at most every IOT_ALERT_REPEAT_MINUTES.
MAX_WAITING = 20
# The tick of a sensor may take 60 seconds.
SEND_FOR_S = 20.0


class Waiting(BaseModel):
    """A message and the names of the channels that have not accepted it."""

    model_config = ConfigDict(frozen=True)

    message: Message
    channels: tuple[str, ...]


class AlertState(BaseModel):
    """The whole state. Store it after each tick: a message that was sent but not stored is sent again."""

    model_config = ConfigDict(frozen=True)

    incident: Incident = Incident()
    waiting: tuple[Waiting, ...] = ()


def send_due(
    state: AlertState, problems: Sequence[Problem], channels: Mapping[str, Channel], now: dt.datetime, pace: Pace
) -> tuple[AlertState, list[str]]:
    """Decide whether a message is due, send the waiting messages, and return the new state and the errors.

    When more than MAX_WAITING messages wait, the oldest are dropped and reported among the errors: one channel that
    accepts nothing must not stop the others.
    """
    incident, message = next_step(state.incident, problems, now, pace)
    waiting = state.waiting
    if message is not None:
        waiting = (*waiting, Waiting(message=message, channels=tuple(channels)))
    waiting, errors = deliver(waiting, channels)
    for lost in waiting[:-MAX_WAITING]:
        errors.append(f"{', '.join(lost.channels)}: dropped the message {lost.message.subject!r}.")
    return AlertState(incident=incident, waiting=waiting[-MAX_WAITING:]), errors


def deliver(waiting: Sequence[Waiting], channels: Mapping[str, Channel]) -> tuple[tuple[Waiting, ...], list[str]]:
    """Send the waiting messages, oldest first, to the channels that have not accepted them.

    Returns the messages that still wait, and the errors.

    After a failure a channel gets the rest at the next tick, so that its messages stay in order. A channel that is no
    longer configured gets nothing.
    """
    deadline = time.monotonic() + SEND_FOR_S
    errors: dict[str, str] = {}
    left = []
    for item in waiting:
        remaining = []
        for name in item.channels:
            if name not in channels:
                continue
            if name in errors or time.monotonic() > deadline:
                remaining.append(name)
                continue
            try:
                channels[name].send(item.message)
            except DeliveryError as error:
                errors[name] = str(error)
                remaining.append(name)
        if remaining:
            left.append(item.model_copy(update={"channels": tuple(remaining)}))
    return tuple(left), [f"{name}: {error}" for name, error in errors.items()]
