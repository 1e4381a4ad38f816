"""When to send which message: one per outage, new problems at a limited rate, and one when all is well again.

``next_step`` is a pure function of the known and the current problems. It compares states and needs no events: a
problem is found as long as it lasts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import AwareDatetime, BaseModel, ConfigDict

from iot_platform.alerts.message import Message, counted, duration, grouped, subject
from iot_platform.alerts.problem import Problem

# The state is stored in a sensor's cursor.
MAX_PROBLEMS = 200
REMIND_AFTER = dt.timedelta(days=1)


@dataclass(frozen=True)
class Pace:
    """``settle``: a problem is reported once it lasts this long. ``clear``: an incident ends after so long without one.

    ``repeat``: shortest time between two messages about new problems of the same incident.
    """

    settle: dt.timedelta
    clear: dt.timedelta
    repeat: dt.timedelta


class KnownProblem(BaseModel):
    """A known problem, and whether a message has reported it."""

    model_config = ConfigDict(frozen=True)

    first_seen: AwareDatetime
    last_seen: AwareDatetime
    reported: bool = False
    run_id: str | None = None


class Incident(BaseModel):
    """The state between two ticks. While ``opened`` is None there is no incident, but problems may be settling."""

    model_config = ConfigDict(frozen=True)

    problems: dict[str, KnownProblem] = {}
    opened: AwareDatetime | None = None
    began: AwareDatetime | None = None
    last_message: AwareDatetime | None = None
    clear_since: AwareDatetime | None = None
    reported: int = 0
    messages: int = 0

    @property
    def run_ids(self) -> list[str]:
        """The failed runs among the known problems. They count however old they are."""
        return [seen.run_id for seen in self.problems.values() if seen.run_id]


def next_step(
    incident: Incident, problems: Sequence[Problem], now: dt.datetime, pace: Pace
) -> tuple[Incident, Message | None]:
    """The state after ``problems`` were found at ``now``, and the message to send, if any."""
    current = _relevant(incident, problems)
    incident = incident.model_copy(update={"problems": _tracked(incident, current, now, pace)})
    # For a problem that occurs repeatedly, Dagster has only the time of the last occurrence.
    current = [
        replace(problem, since=min(problem.since, incident.problems[problem.key].first_seen)) for problem in current
    ]
    unreported = [
        problem for problem in current if not problem.retrying and not incident.problems[problem.key].reported
    ]
    is_news = any(now - incident.problems[problem.key].first_seen >= pace.settle for problem in unreported)
    if incident.opened is None:
        return _opened(incident, unreported, now) if is_news else (incident, None)
    assert incident.last_message is not None and incident.began is not None
    quiet, lasted = now - incident.last_message, now - incident.began
    if not current:
        clear_since = incident.clear_since or now
        incident = incident.model_copy(update={"clear_since": clear_since})
        return _closed(incident) if now - clear_since >= pace.clear else (incident, None)
    incident = incident.model_copy(update={"clear_since": None})
    if is_news and quiet >= pace.repeat:
        text = f"{counted(len(unreported), 'new problem')}, {len(current)} open"
        return _with_message(incident, text, unreported, now)
    if quiet >= REMIND_AFTER:
        return _with_message(
            incident, f"{counted(len(current), 'problem')} open after {duration(lasted)}", current, now
        )
    return incident, None


def _relevant(incident: Incident, problems: Sequence[Problem]) -> list[Problem]:
    """Problems that are known or not being retried; known and oldest first, so that the cut is always the same."""
    known = incident.problems
    relevant = [problem for problem in problems if problem.key in known or not problem.retrying]
    return sorted(relevant, key=lambda problem: (problem.key not in known, problem.since, problem.key))[:MAX_PROBLEMS]


def _tracked(incident: Incident, current: Sequence[Problem], now: dt.datetime, pace: Pace) -> dict[str, KnownProblem]:
    tracked = {
        # A reported problem that comes back within ``clear`` is not new.
        key: seen
        for key, seen in incident.problems.items()
        if seen.reported and now - seen.last_seen < pace.clear
    }
    for problem in current:
        seen = incident.problems.get(problem.key) or KnownProblem(first_seen=now, last_seen=now)
        tracked[problem.key] = seen.model_copy(update={"last_seen": now, "run_id": problem.run_id})
    return tracked


def _opened(incident: Incident, problems: Sequence[Problem], now: dt.datetime) -> tuple[Incident, Message]:
    began = min(problem.since for problem in problems)
    incident = incident.model_copy(update={"opened": now, "began": min(began, now)})
    return _with_message(incident, counted(len(problems), "problem"), problems, now)


def _closed(incident: Incident) -> tuple[Incident, Message]:
    assert incident.clear_since is not None and incident.began is not None
    text = f"All clear after {duration(incident.clear_since - incident.began)}"
    over = f"{counted(incident.reported, 'reported problem')} solved."
    return Incident(), _message(incident, text, over, [])


def _with_message(
    incident: Incident, text: str, problems: Sequence[Problem], now: dt.datetime
) -> tuple[Incident, Message]:
    """The incident after a message about some of its problems, and that message."""
    message = _message(incident, subject(text, problems), f"{text}.", problems)
    seen = incident.problems
    new = [problem.key for problem in problems if not seen[problem.key].reported]
    reported = {key: seen[key].model_copy(update={"reported": True}) for key in new}
    update = {
        "problems": {**seen, **reported},
        "last_message": now,
        "reported": incident.reported + len(new),
        "messages": incident.messages + 1,
    }
    return incident.model_copy(update=update), message


def _message(incident: Incident, title: str, text: str, problems: Sequence[Problem]) -> Message:
    assert incident.opened is not None
    name = f"{incident.opened.astimezone(dt.UTC):%Y%m%dT%H%M%S%f}"
    return Message(id=f"{name}-{incident.messages}", incident=name, subject=title, text=text, groups=grouped(problems))
