"""The contents of a message, before a channel formats it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from iot_platform.alerts.problem import Problem, one_line

# A message is read on a phone, and stored in a sensor's cursor until it is delivered.
MAX_LINES, MAX_GROUPS = 20, 10
MAX_SUBJECT = 140


class Line(BaseModel):
    """One problem: what failed, details, and a link."""

    model_config = ConfigDict(frozen=True)

    title: str
    detail: str
    link: str


class Group(BaseModel):
    """The ``count`` problems of one cause, of which ``lines`` are shown."""

    model_config = ConfigDict(frozen=True)

    cause: str
    count: int
    lines: tuple[Line, ...]


class Message(BaseModel):
    """A message for all channels. All messages of an incident have the same ``incident``; each has its own ``id``."""

    model_config = ConfigDict(frozen=True)

    id: str
    incident: str
    subject: str
    text: str
    groups: tuple[Group, ...] = ()

    def plain_text(self) -> str:
        """The whole message as plain text."""
        parts = [self.text]
        for group in self.groups:
            parts.append(
                "\n".join([heading(group), *(f"- {line.title}. {line.detail}\n  {line.link}" for line in group.lines)])
            )
        return "\n\n".join(parts)


def heading(group: Group) -> str:
    """The first line of a group: its cause, and the number of problems when not all of them are shown."""
    hidden = group.count - len(group.lines)
    return group.cause + (f" ({group.count} problems, {hidden} of them not shown)" if hidden else "")


def grouped(problems: Sequence[Problem]) -> tuple[Group, ...]:
    """Problems by cause, the most frequent cause first; at most MAX_LINES of MAX_GROUPS causes are shown."""
    by_cause: dict[str, list[Problem]] = {}
    for problem in sorted(problems, key=lambda problem: (problem.since, problem.key)):
        by_cause.setdefault(problem.group, []).append(problem)
    found = sorted(by_cause.values(), key=len, reverse=True)
    shown, others = found[:MAX_GROUPS], sum(map(len, found[MAX_GROUPS:]))
    lines = MAX_LINES // max(len(shown), 1)
    groups = [
        Group(cause=of_cause[0].cause, count=len(of_cause), lines=tuple(_line(problem) for problem in of_cause[:lines]))
        for of_cause in shown
    ]
    if others:
        groups.append(Group(cause="Other causes", count=others, lines=()))
    return tuple(groups)


def subject(text: str, problems: Sequence[Problem]) -> str:
    """``text`` with the most frequent cause, cut to MAX_SUBJECT; for a single problem, with its title."""
    groups = grouped(problems)
    what = groups[0].lines[0].title if len(problems) == 1 else groups[0].cause
    more = f" (and {len(groups) - 1} more)" if len(groups) > 1 else ""
    return one_line(f"{text}: {what}", MAX_SUBJECT - len(more)) + more


def counted(count: int, thing: str) -> str:
    """``1 problem``, ``2 problems``."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def duration(time: dt.timedelta) -> str:
    """A duration in its largest fitting unit, e.g. ``14 min``."""
    minutes = max(round(time.total_seconds() / 60), 1)
    if minutes < 120:
        return f"{minutes} min"
    return f"{round(minutes / 60)} h" if minutes < 48 * 60 else f"{round(minutes / 60 / 24)} days"


def _line(problem: Problem) -> Line:
    facts = [problem.owner, f"since {problem.since.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"]
    detail = f"{problem.detail} " if problem.detail else ""
    return Line(title=problem.title, detail=f"{detail}({', '.join(fact for fact in facts if fact)})", link=problem.link)
