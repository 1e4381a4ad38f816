"""What a source of device metadata is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd

# The kinds of sources, as in IOT_DEVICES_SOURCE.
CSV, CRM = "csv", "crm"


@dataclass(frozen=True)
class Delivery:
    """What a source had to say.

    devices: the contract's columns, as text; the index numbers its rows for messages. is_full: all of it was read,
    not only what has changed. is_complete: it lists every device, so one that it lacks is gone. position: what the
    next ``read`` may be given.
    """

    devices: pd.DataFrame
    is_full: bool
    is_complete: bool
    position: str


class Source(Protocol):
    """A place that device metadata is read from. ``location`` names it for people, without secrets."""

    @property
    def name(self) -> str:
        """Its kind, as in IOT_DEVICES_SOURCE."""

    @property
    def location(self) -> str:
        """The file, URL or object."""

    def read(self, since: str = "") -> Delivery:
        """All of it, or what has changed since a position (a source that cannot tell reads all of it).

        Raises SourceError when it cannot be read or understood.
        """


def without_secrets(url: str) -> str:
    """A URL without user, password, query and fragment, where passwords and signatures stand; a path as it is."""
    if "://" not in url:
        return url
    return re.sub(r"://[^/]*@", "://", re.split(r"[?#]", url, maxsplit=1)[0])
