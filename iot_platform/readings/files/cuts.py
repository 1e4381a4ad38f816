"""Cut the windows of several files into batches by day, so that few inserts touch the same day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from iot_platform.readings.ledger import Range

DAY_S = 86400

Seconds = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stretch:
    """Positions of a file that are to be written.

    ``seconds``: the times of the readings, in order, which have the first positions. The others stand for rows that are
    not readings.
    """

    owner: int
    bounds: Range
    seconds: Seconds


# A part of a stretch: the number of its owner, and its positions.
Part = tuple[int, Range]


def cut_by_day(stretches: Sequence[Stretch], size: int) -> Iterator[list[Part]]:
    """The parts of stretches that are written together: ``size`` readings at most. A stretch has at least one reading.

    Each group has whole days, of all stretches in their order. A day of more than ``size`` readings is several groups.
    """
    starts = [0] * len(stretches)
    for last_day in _last_days(stretches, size):
        group: list[Part] = []
        room = size
        for index, stretch in enumerate(stretches):
            stop = int(np.searchsorted(stretch.seconds, (last_day + 1) * DAY_S))
            start, starts[index] = starts[index], stop
            while start < stop:
                if not room:
                    yield group
                    group, room = [], size
                end = min(stop, start + room)
                room -= end - start
                first, last = stretch.bounds
                group.append((stretch.owner, (first + start, last if end == len(stretch.seconds) else first + end)))
                start = end
        yield group


def _last_days(stretches: Sequence[Stretch], size: int) -> list[int]:
    """The last day of each group of days with at most ``size`` readings together, if they are several."""
    days, counts = np.unique(np.concatenate([stretch.seconds // DAY_S for stretch in stretches]), return_counts=True)
    last_days: list[int] = []
    together = 0
    for day, count in zip(days.tolist(), counts.tolist(), strict=True):
        if together and together + count <= size:
            last_days[-1] = day
            together += count
        else:
            last_days.append(day)
            together = count
    return last_days
