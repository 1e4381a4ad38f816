"""The interface of a source of device metadata."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd

# The kinds of sources, as in IOT_DEVICES_SOURCE.
CSV, CRM = "csv", "crm"
# The end of each message about a source that cannot be used.
NOTHING_CHANGED = "The stored metadata was not changed."


@dataclass(frozen=True)
class Delivery:
    """What a source returned when it was read.

    devices: the columns of the contract, as text; its index numbers the rows in messages. is_full: everything was
    read, not only changes. is_complete: it lists every device, so a device that is missing from it is closed. position:
    the value for ``since`` of the next ``read``. notes: what people should know of how it was read, in sentences.
    """

    devices: pd.DataFrame
    is_full: bool
    is_complete: bool
    position: str
    notes: Sequence[str] = ()


class Source(Protocol):
    """A place from which device metadata is read. ``location`` names it in messages, without secrets."""

    @property
    def name(self) -> str:
        """Its kind, as in IOT_DEVICES_SOURCE."""

    @property
    def location(self) -> str:
        """The file, URL or CRM object."""

    def read(self, since: str = "") -> Delivery:
        """Read everything, or what has changed since a position. A source that cannot tell reads everything.

        Raises SourceError if it cannot be read or understood.
        """


def is_url(location: str) -> bool:
    """Whether a location is a URL for fsspec (https://..., s3://..., zip://devices.csv::archive.zip), not a path."""
    return "://" in location or "::" in location


def without_secrets(location: str) -> str:
    """A URL without user, password, query and fragment, which may contain secrets; a path as it is."""
    if not is_url(location):
        return location
    return re.sub(r"://[^/]*@", "://", re.split(r"[?#]", location, maxsplit=1)[0])
