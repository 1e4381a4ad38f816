"""What the readings of each meter look like over a whole file: intervals, and whether the values only rise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from iot_platform.readings.files.oddities import Oddities

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_NEVER = np.iinfo(np.int64).max
_FIELDS: Any = [
    (name, np.int64)
    for name in ("last_time", "readings", "steps", "shortest", "shortest_steps", "divisor", "rises", "falls", "late")
] + [(name, np.float64) for name in ("last_value", "total", "rise")]


class MeterSeries:
    """Statistics of each meter, collected piece by piece: a few numbers per meter, however long the file is.

    A piece is sorted by meter and time. Steps from one piece to the next count if the time of the meter goes on.
    """

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._table = np.zeros(0, dtype=_FIELDS)
        self.net_direction = 0
        self.oddities = Oddities()

    @property
    def names(self) -> list[str]:
        """The meters, in the order of ``column``."""
        return list(self._codes)

    def column(self, name: str) -> npt.NDArray[Any]:
        """One statistic of all meters."""
        return self._table[name][: len(self._codes)]

    def codes(self, names: Sequence[str]) -> Numbers:
        """The numbers of meters; new ones get the next numbers."""
        codes = np.array([self._codes.setdefault(name, len(self._codes)) for name in names], dtype=np.int64)
        missing = len(self._codes) - len(self._table)
        if missing > 0:
            more = np.zeros(max(missing, len(self._table), 256), dtype=_FIELDS)
            more["last_time"], more["shortest"], more["last_value"] = -1, _NEVER, np.nan
            self._table = np.concatenate([self._table, more])
        return codes

    def add(self, meters: Numbers, seconds: Numbers, values: Floats) -> Numbers:
        """Add the readings of a piece; returns the times at which a meter has another reading before."""
        if not len(meters):
            return seconds
        self.net_direction += int(np.sign(np.diff(seconds)).sum())
        meters, seconds, values = by_meter_and_time(meters, seconds, values)
        table = self._table
        starts = np.flatnonzero(np.concatenate(([True], meters[1:] != meters[:-1])))
        first = meters[starts]
        before, value_before = np.empty_like(seconds), np.empty_like(values)
        before[1:], value_before[1:] = seconds[:-1], values[:-1]
        before[starts], value_before[starts] = table["last_time"][first], table["last_value"][first]
        is_next = (before >= 0) & (seconds > before)
        repeated: Numbers = seconds[(before >= 0) & (seconds == before)]
        table["late"][first] += (before[starts] >= 0) & (seconds[starts] <= before[starts])
        self.oddities.add(meters, seconds, values, before, value_before)
        with np.errstate(over="ignore", invalid="ignore"):
            changes = values - value_before
        self._add_steps(meters[is_next], (seconds - before)[is_next], changes[is_next])
        table["readings"][first] += np.diff(np.append(starts, len(meters)))
        with np.errstate(over="ignore", invalid="ignore"):
            table["total"][first] += np.add.reduceat(np.where(np.isfinite(values), values, 0.0), starts)
        last = np.append(starts[1:], len(meters)) - 1
        newer = seconds[last] >= table["last_time"][first]
        table["last_time"][first[newer]] = seconds[last][newer]
        table["last_value"][first[newer]] = values[last][newer]
        return repeated

    def _add_steps(self, meters: Numbers, steps: Numbers, changes: Floats) -> None:
        if not len(meters):
            return
        table = self._table
        starts = np.flatnonzero(np.concatenate(([True], meters[1:] != meters[:-1])))
        who, counts = meters[starts], np.diff(np.append(starts, len(meters)))
        shortest = np.minimum.reduceat(steps, starts)
        equal = np.add.reduceat((steps == np.repeat(shortest, counts)).astype(np.int64), starts)
        known = table["shortest"][who]
        kept = np.where(shortest > known, table["shortest_steps"][who], 0)
        kept = np.where(shortest == known, table["shortest_steps"][who] + equal, kept)
        table["shortest_steps"][who] = np.where(shortest < known, equal, kept)
        table["shortest"][who] = np.minimum(known, shortest)
        table["divisor"][who] = np.gcd(table["divisor"][who], np.gcd.reduceat(steps, starts))
        table["steps"][who] += counts
        with np.errstate(invalid="ignore"):
            rising, falling = changes > 0, changes < 0
        table["rises"][who] += np.add.reduceat(rising.astype(np.int64), starts)
        table["falls"][who] += np.add.reduceat(falling.astype(np.int64), starts)
        finite = np.where(rising & np.isfinite(changes), changes, 0.0)
        with np.errstate(over="ignore", invalid="ignore"):
            table["rise"][who] += np.add.reduceat(finite, starts)

    def intervals(self) -> Numbers:
        """The interval of each meter in seconds; 0: it has one reading, -1: it is not constant.

        Gaps are allowed: every step is a multiple of the shortest one, and most steps are the shortest one.
        """
        steps, shortest = self.column("steps"), self.column("shortest")
        constant = (self.column("divisor") == shortest) & (self.column("shortest_steps") * 2 >= steps)
        return np.asarray(np.where(steps == 0, 0, np.where(constant, shortest, -1)), dtype=np.int64)


def by_meter_and_time(meters: Numbers, seconds: Numbers, values: Floats) -> tuple[Numbers, Numbers, Floats]:
    """Readings sorted by meter and time; those of the same time keep their order."""
    keys = (meters << 33) | seconds
    if np.any(keys[1:] < keys[:-1]):
        order = np.argsort(keys, kind="stable")
        return meters[order], seconds[order], values[order]
    return meters, seconds, values
