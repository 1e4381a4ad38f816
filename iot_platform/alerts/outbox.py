"""What is kept between two looks: the incident, and the messages that a channel has not taken yet."""

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

# Days of messages, as a rule: news come at most each IOT_ALERT_REPEAT_MINUTES.
MAX_WAITING = 20
# A tick of a sensor has 60 seconds.
SEND_FOR_S = 20.0


class Waiting(BaseModel):
    """A message and the names of the channels that have not taken it."""

    model_config = ConfigDict(frozen=True)

    message: Message
    channels: tuple[str, ...]


class AlertState(BaseModel):
    """All that is remembered. To be stored after each step: what was sent but not stored is sent again."""

    model_config = ConfigDict(frozen=True)

    incident: Incident = Incident()
    waiting: tuple[Waiting, ...] = ()


def look(
    state: AlertState, problems: Sequence[Problem], channels: Mapping[str, Channel], now: dt.datetime, pace: Pace
) -> tuple[AlertState, list[str]]:
    """Decide whether something is to be said, send what waits, and return what to store and what went wrong.

    A channel that took nothing for so long that more than MAX_WAITING messages wait loses the oldest, and that is
    among the errors: the others must not fall silent with it.
    """
    incident, message = next_step(state.incident, problems, now, pace)
    waiting = state.waiting
    if message is not None:
        waiting = (*waiting, Waiting(message=message, channels=tuple(channels)))
    waiting, errors = deliver(waiting, channels)
    for lost in waiting[:-MAX_WAITING]:
        errors.append(f"{', '.join(lost.channels)}: gave up the message {lost.message.subject!r}.")
    return AlertState(incident=incident, waiting=waiting[-MAX_WAITING:]), errors


def deliver(waiting: Sequence[Waiting], channels: Mapping[str, Channel]) -> tuple[tuple[Waiting, ...], list[str]]:
    """Send, the oldest first, to each channel what it has not taken; returns what still waits, and why.

    A channel that fails gets the rest another time, so that its messages stay in order. One that is not configured
    any more gets nothing.
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
