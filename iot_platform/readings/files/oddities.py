"""Values of a file that deserve a look: they may be right, so they only warn."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# A jump: the mean of some readings is so many times that of those before. (Wh and kWh differ by 1000.)
JUMP_FACTOR = 100
FEWEST_READINGS = 24
# A spike: one value is so many times the mean of the others.
SPIKE_FACTOR = 200


class Oddities:
    """Counts readings of the same meter and time with other values, and finds jumps and spikes of values.

    ``add`` gets the pieces of a file, each sorted by meter and time.
    """

    def __init__(self) -> None:
        self.conflicts = 0
        # The meter and the time of the first one of each.
        self.conflict: tuple[int, int] | None = None
        self.jump: tuple[int, int, float, float] | None = None
        self._means = np.zeros(0)
        self._highest = np.zeros(0)
        self._highest_at = np.zeros(0, dtype=np.int64)

    def add(self, meters: Numbers, seconds: Numbers, values: Floats, before: Numbers, value_before: Floats) -> None:
        """Add a piece. ``before``, ``value_before``: time (-1: none) and value of the meter's reading before."""
        same = (
            (before >= 0)
            & (seconds == before)
            & (values != value_before)
            & ~(np.isnan(values) & np.isnan(value_before))
        )
        if count := int(same.sum()):
            index = int(np.argmax(same))
            self.conflicts += count
            self.conflict = self.conflict or (int(meters[index]), int(seconds[index]))
        self._grow(int(meters[-1]) + 1)
        usable = np.where(np.isfinite(values) & (values > 0), values, 0.0)
        starts = np.flatnonzero(np.concatenate(([True], meters[1:] != meters[:-1])))
        self._find_spikes(meters, seconds, usable, starts)
        if self.jump is None:
            self._find_jump(meters, seconds, usable, starts)

    def spikes(self, names: Sequence[str], totals: Floats, readings: Numbers) -> list[tuple[str, int, float, float]]:
        """Meter, time, value, and the mean of the other values, of each meter with a spike."""
        # The last meters may have no readings.
        count = min(len(self._highest), len(totals))
        highest, readings = self._highest[:count], readings[:count]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            others = (totals[:count] - highest) / (readings - 1)
            is_spike = (readings >= FEWEST_READINGS) & (others > 0) & (highest > SPIKE_FACTOR * others)
        return [
            (names[code], int(self._highest_at[code]), float(self._highest[code]), float(others[code]))
            for code in np.flatnonzero(is_spike).tolist()
        ]

    def _find_spikes(self, meters: Numbers, seconds: Numbers, values: Floats, starts: Numbers) -> None:
        highest = np.maximum.reduceat(values, starts)
        who = meters[starts]
        higher = highest > self._highest[who]
        # The first row with the highest value of each meter.
        rows = np.flatnonzero(values == np.repeat(highest, np.diff(np.append(starts, len(values)))))
        groups, first = np.unique(np.searchsorted(starts, rows, side="right") - 1, return_index=True)
        self._highest_at[who[higher]] = seconds[rows[first]][higher[groups]]
        self._highest[who[higher]] = highest[higher]

    def _find_jump(self, meters: Numbers, seconds: Numbers, values: Floats, starts: Numbers) -> None:
        """Compare the means of the blocks of each meter: halves of a piece, and the block before."""
        counts = np.diff(np.append(starts, len(meters)))
        halved = starts[counts >= 2 * FEWEST_READINGS] + counts[counts >= 2 * FEWEST_READINGS] // 2
        blocks = np.sort(np.concatenate((starts, halved)))
        sizes = np.diff(np.append(blocks, len(meters)))
        with np.errstate(over="ignore", invalid="ignore"):
            means = np.add.reduceat(values, blocks) / sizes
        who = meters[blocks]
        previous = np.empty_like(means)
        previous[1:] = means[:-1]
        is_first = np.concatenate(([True], who[1:] != who[:-1]))
        previous[is_first] = self._means[who[is_first]]
        large = sizes >= FEWEST_READINGS
        with np.errstate(over="ignore", invalid="ignore"):
            jumps = (previous > 0) & (means > 0) & large
            jumps &= (means > JUMP_FACTOR * previous) | (previous > JUMP_FACTOR * means)
        if jumps.any():
            index = int(np.argmax(jumps))
            self.jump = int(who[index]), int(seconds[blocks[index]]), float(previous[index]), float(means[index])
        self._means[who[large]] = means[large]

    def _grow(self, count: int) -> None:
        missing = count - len(self._means)
        if missing > 0:
            missing = max(missing, len(self._means))
            self._means = np.concatenate((self._means, np.zeros(missing)))
            self._highest = np.concatenate((self._highest, np.zeros(missing)))
            self._highest_at = np.concatenate((self._highest_at, np.zeros(missing, dtype=np.int64)))


def warnings_of_values(found: Oddities, names: Sequence[str], totals: Any, readings: Any, unit: str) -> list[str]:
    """The oddities in words."""
    warnings = []
    if found.conflict is not None:
        meter, second = found.conflict
        warnings.append(
            f"{found.conflicts:,} readings have the meter and time of another one, but not its value, such as meter "
            f"{names[meter]} at {_shown(second)}. The last one counts."
        )
    if found.jump is not None:
        meter, second, before, after = found.jump
        warnings.append(
            f"The values of meter {names[meter]} jump about {_shown(second)}: from {before:.4g} to {after:.4g} {unit} "
            "in the mean. Is the unit the same in the whole file?"
        )
    if spikes := found.spikes(names, totals, readings):
        name, second, value, others = spikes[0]
        more = f" (and those of {len(spikes) - 1:,} more meters)" if len(spikes) > 1 else ""
        warnings.append(
            f"Meter {name} has {value:.6g} {unit} at {_shown(second)}, and {others:.4g} {unit} in the mean of its "
            f"other values{more}."
        )
    return warnings


def _shown(second: int) -> str:
    return f"{dt.datetime.fromtimestamp(second, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
