"""What is wrong at one moment."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Literal

from iot_platform.security.escaping import escape_line

MAX_TEXT = 300

Kind = Literal["run", "check", "stale", "tick", "server"]

# user:password@ of a URL: a library's error text may carry one, and a message leaves the machine.
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
# Run ids, hashes, ports, dates, counts; not the 2 of l2_power_cleaned.
_NUMBER = re.compile(r"\b(?=[0-9a-f-]*\d)[0-9a-f-]+\b|(?<!\w)\d+")


@dataclass(frozen=True)
class Problem:
    """Something that somebody should look at. While it lasts, each look finds it again under the same ``key``.

    ``cause``: why, in one line; problems of one cause stand together. ``retrying``: an attempt to mend it is under
    way, so it is not news yet; nor is it over. ``run_id``: the run that failed, or whose check did.
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
        """The same for all problems of one cause: the cause without its numbers (ids, addresses, dates, counts)."""
        return _NUMBER.sub("#", self.cause)


def one_line(text: str, limit: int = MAX_TEXT) -> str:
    """A text of any origin as one line of at most ``limit`` characters, without logins in URLs."""
    line = escape_line(_LOGIN.sub("", text))
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
