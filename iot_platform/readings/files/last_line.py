"""The last reading of a file whose last line has no line end: loaded, or held back; see unended_line.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from iot_platform.readings.files.raw_rows import RawRows, Reject, RowSource

LastLine = Literal["", "whole", "accepted", "held back"]
LAST_LINE = "last_line_without_line_end"


@dataclass(frozen=True)
class LastRow:
    """The last row of a file, whose line has no line end; ``text`` is read when it is needed."""

    place: int
    text: Callable[[], str]
    may_be_cut: bool


def may_be_cut(source: RowSource, columns: Sequence[str]) -> bool:
    """Whether the last line of a file, of which all was read, may be cut off; ``columns``: those that are read."""
    unended = source.unended_line
    # A cut can only have changed the last column.
    return unended is not None and source.column_names[-1] in columns and not unended.is_whole()


def last_row(source: RowSource, columns: Sequence[str], piece: RawRows | None) -> LastRow | None:
    """The last row among the newest rows of a file; None: it has not been read yet, or its line has a line end."""
    if source.unended_line is None or piece is None or not len(piece.places):
        return None
    index = len(piece.places) - 1
    return LastRow(int(piece.places[-1]), lambda: piece.text_of(index), may_be_cut(source, columns))


class LastReading:
    """What is known of the last reading of a file. ``reject``: it is in doubt; this is what is reported of it."""

    def __init__(self, is_accepted: bool) -> None:
        self.reject: Reject | None = None
        self._is_accepted = is_accepted
        self._second = 0

    def judge(self, row: LastRow | None, readings: pa.Table, rejects: Sequence[Reject]) -> LastLine:
        """Look at the newest readings of a file, and at its last row if it is among them. "": no such line, or it is
        no reading."""
        if row is None or any(reject.place >= row.place for reject in rejects):
            return ""
        if not row.may_be_cut:
            return "whole"
        if self._is_accepted:
            return "accepted"
        self.reject = Reject(row.place, LAST_LINE, row.text())
        self._second = readings["timestamp"].cast(pa.int64())[-1].as_py()
        return "held back"

    def place_in(self, window: pa.Table) -> int:
        """The index of the reading in the last window, which is sorted by time: it is the last one with its time."""
        times = window["timestamp"].cast(pa.int64()).to_numpy()
        return int((times <= self._second).sum()) - 1
