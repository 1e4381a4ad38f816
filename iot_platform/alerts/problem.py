"""A problem that needs attention."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Literal

from iot_platform.security.escaping import escape_line

MAX_TEXT = 300

Kind = Literal["run", "check", "stale", "tick", "server", "file"]

# user:password@ in a URL: error texts of libraries may contain it, and messages go to other machines.
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
# Run ids, hashes, ports, dates and counts, but not the 2 in l2_power_cleaned.
_NUMBER = re.compile(r"\b(?=[0-9a-f-]*\d)[0-9a-f-]+\b|(?<!\w)\d+")


@dataclass(frozen=True)
class Problem:
    """A problem that needs attention. While it lasts, it is found again under the same ``key``.

    ``cause``: one line; problems with the same cause are grouped. ``retrying``: Dagster is retrying, so the problem is
    neither reported yet nor over. ``run_id``: the failed run, or the run of the failed check.
    """

    key: str
    kind: Kind
    title: str
    cause: str
    owner: str
    partition: str
    detail: str
    link: str
    since: dt.datetime
    retrying: bool = False
    run_id: str | None = None

    @property
    def group(self) -> str:
        """Equal for all problems of one cause: the cause without numbers (ids, addresses, dates, counts)."""
        return _NUMBER.sub("#", self.cause)


def one_line(text: str, limit: int = MAX_TEXT) -> str:
    """Any text as one line of at most ``limit`` characters, without logins in URLs."""
    line = escape_line(_LOGIN.sub("", text))
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
