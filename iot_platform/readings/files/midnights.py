"""Whether 00:00 is written with the date of the day that it ends, in files with the date in a column of its own.

Such a row follows 23:45 of the same date, where the next date belongs. Read as it is written, its energy would be a
day early.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

DAY_S = 86400


@dataclass(frozen=True)
class WrongMidnight:
    """A 00:00 beside a later time of the same date, both as local seconds since 1970, and its place."""

    place: int
    midnight: int
    other: int

    def problem(self) -> str:
        """What is wrong, and the ways out."""
        date, clock = f"{dt.datetime.fromtimestamp(self.other, dt.UTC):%Y-%m-%d %H:%M}".split()
        return (
            f"00:00 stands at the end of its date, {date}, next to {clock}: as the end of an interval, it is of the "
            "next date. Write that date, or 24:00; or choose the column with the start of the interval "
            "(--time-column). If the date is right, sort the rows of each meter by time."
        )


class Midnights:
    """Looks at the rows of each meter in the order of the file, piece by piece. Memory: two rows of each meter.

    In a file from old to new, 00:00 is at the wrong date if it follows a later time of that date and none of that date
    follows; in a file from new to old, the other way round. Where neither order prevails, nothing is known.
    """

    def __init__(self) -> None:
        # The last two rows of each meter: meter, local second, place.
        self._kept = np.empty((3, 0), dtype=np.int64)
        self._rising = self._falling = 0
        self._after: WrongMidnight | None = None
        self._before: WrongMidnight | None = None

    def add(self, meters: Numbers, seconds: Numbers, places: Numbers) -> None:
        """Add the rows of a piece. ``seconds``: their local times, as seconds since 1970."""
        if not len(meters):
            return
        rows = np.concatenate([self._kept, np.stack([meters, seconds, places])], axis=1)
        is_new = np.arange(rows.shape[1]) >= self._kept.shape[1]
        order = np.argsort(rows[0], kind="stable")
        rows, is_new = rows[:, order], is_new[order]
        # A row is judged when the next one of its meter is known: once.
        self._after, self._before = self._judged(rows, np.append(is_new[1:], False) & ~self._is_last(rows))
        self._count_steps(rows, is_new)
        last = np.flatnonzero(self._is_last(rows))
        before = last[~self._is_first(rows)[last]] - 1
        self._kept = rows[:, np.sort(np.concatenate([last, before]))]

    def wrong(self) -> WrongMidnight | None:
        """The first 00:00 that is written with the wrong date, if no rows follow."""
        after, before = self._judged(self._kept, self._is_last(self._kept))
        if self._rising > self._falling:
            return after
        return before if self._falling > self._rising else None

    def _judged(self, rows: Numbers, which: npt.NDArray[np.bool_]) -> tuple[WrongMidnight | None, WrongMidnight | None]:
        """The first 00:00 after a later time of its date (and not before one), and the first one before it only."""
        seconds = rows[1]
        index = np.flatnonzero(which & (seconds % DAY_S == 0))
        before, after = np.maximum(index - 1, 0), np.minimum(index + 1, len(seconds) - 1)
        follows = ~self._is_first(rows)[index] & _is_later_that_day(seconds[index], seconds[before])
        precedes = ~self._is_last(rows)[index] & _is_later_that_day(seconds[index], seconds[after])
        return (
            _first(self._after, rows, index, before, follows & ~precedes),
            _first(self._before, rows, index, after, precedes & ~follows),
        )

    def _count_steps(self, rows: Numbers, is_new: npt.NDArray[np.bool_]) -> None:
        """Count steps to later and to earlier times, but not those at a 00:00: its date is in question."""
        is_midnight = rows[1] % DAY_S == 0
        counts = is_new[1:] & (rows[0][1:] == rows[0][:-1]) & ~is_midnight[1:] & ~is_midnight[:-1]
        steps = np.diff(rows[1])[counts]
        self._rising += int((steps > 0).sum())
        self._falling += int((steps < 0).sum())

    @staticmethod
    def _is_first(rows: Numbers) -> npt.NDArray[np.bool_]:
        return np.append(True, rows[0][1:] != rows[0][:-1])[: rows.shape[1]]

    @staticmethod
    def _is_last(rows: Numbers) -> npt.NDArray[np.bool_]:
        return np.append(rows[0][1:] != rows[0][:-1], True)[-rows.shape[1] :]


def _is_later_that_day(midnights: Numbers, others: Numbers) -> npt.NDArray[np.bool_]:
    return (others > midnights) & (others < midnights + DAY_S)


def _first(
    known: WrongMidnight | None, rows: Numbers, index: Numbers, other: Numbers, found: npt.NDArray[np.bool_]
) -> WrongMidnight | None:
    if not found.any():
        return known
    chosen = np.flatnonzero(found)
    chosen = chosen[np.argmin(rows[2][index[chosen]])]
    first = WrongMidnight(int(rows[2][index[chosen]]), int(rows[1][index[chosen]]), int(rows[1][other[chosen]]))
    return first if known is None or first.place < known.place else known
