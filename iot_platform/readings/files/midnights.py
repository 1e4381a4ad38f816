"""Whether 00:00 is written with the date of the day that it ends, in files with the date in a column of its own.

Such a row follows 23:45 of the same date, where the next date belongs. Read as it is written, its energy would be a
day early.
"""

from __future__ import annotations

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
        self._judge(rows, np.append(is_new[1:], False) & ~self._is_last(rows))
        self._count_steps(rows, is_new)
        last = np.flatnonzero(self._is_last(rows))
        before = last[~self._is_first(rows)[last]] - 1
        self._kept = rows[:, np.sort(np.concatenate([last, before]))]

    def wrong(self) -> WrongMidnight | None:
        """The first 00:00 that is written with the wrong date; only after all rows."""
        rows = self._kept
        self._judge(rows, self._is_last(rows))
        if self._rising > self._falling:
            return self._after
        return self._before if self._falling > self._rising else None

    def _judge(self, rows: Numbers, which: npt.NDArray[np.bool_]) -> None:
        """Note the 00:00 among some rows beside which there is a later time of their date on one side only."""
        seconds = rows[1]
        index = np.flatnonzero(which & (seconds % DAY_S == 0))
        before, after = np.maximum(index - 1, 0), np.minimum(index + 1, len(seconds) - 1)
        follows = ~self._is_first(rows)[index] & _is_later_that_day(seconds[index], seconds[before])
        precedes = ~self._is_last(rows)[index] & _is_later_that_day(seconds[index], seconds[after])
        self._after = _first(self._after, rows, index, before, follows & ~precedes)
        self._before = _first(self._before, rows, index, after, precedes & ~follows)

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
