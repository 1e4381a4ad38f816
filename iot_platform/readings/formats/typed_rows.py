"""Rows of formats that know what they contain: the start of an interval in UTC, a meter and kWh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from iot_platform.readings.files.columns import Columns, Header
from iot_platform.readings.files.raw_rows import RawRows, Reject

TIME, METER, VALUE = "interval_start", "meter", "kWh"
NAMES = [TIME, METER, VALUE]
# Pieces of so many rows. Not a setting: the pieces of a file decide about its windows (windows.py).
PIECE_ROWS = 100_000


def known_header(unit: str = "kWh") -> Header:
    """The header of such a format. ``unit``: that of the file, if the values are converted from one unit."""
    return Header(
        columns=Columns(TIME, METER, VALUE, unit),
        unit_from="known format",
        stamp="start",
        stamp_from="known format",
        unit_column=None,
    )


@dataclass
class TypedRows:
    """Collects readings and rejects until there are enough for a piece."""

    seconds: list[int] = field(default_factory=list)
    meters: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing for a piece."""
        return not self.places and not self.rejects

    @property
    def is_full(self) -> bool:
        """Whether a piece should be made of them now."""
        return len(self.places) + len(self.rejects) >= PIECE_ROWS

    def add(self, place: int, meter: str, seconds: Sequence[int], values: Sequence[float]) -> None:
        """Add readings of one meter, all at one place."""
        self.seconds += seconds
        self.values += values
        self.meters += [meter] * len(seconds)
        self.places += [place] * len(seconds)

    def piece(self) -> RawRows:
        """What was collected. The next piece begins empty."""
        columns: dict[str, Any] = {
            TIME: pa.array(self.seconds, pa.int64()).cast(pa.timestamp("s", "UTC")),
            METER: pa.array(self.meters, pa.string()),
            VALUE: pa.array(self.values, pa.float64()),
        }
        rows = RawRows(columns, np.array(self.places, dtype=np.int64), self.rejects, _Texts(columns).text)
        self.seconds, self.meters, self.values, self.places, self.rejects = [], [], [], [], []
        return rows


class _Texts:
    def __init__(self, columns: dict[str, Any]) -> None:
        self._columns = columns

    def text(self, index: int) -> str:
        return ",".join(str(column[index]) for column in self._columns.values())
