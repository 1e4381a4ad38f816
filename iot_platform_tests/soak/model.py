"""A stream of readings with everything that goes wrong in the field, and in plain Python what the layers must hold."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal
from typing import NamedTuple

FIRST_TIMESTAMP = 1_767_225_600  # 2026-01-01 00:00 UTC
DAY_S = 86_400
INTERVAL_S = 900
DAYS = 3
DAYS_LATE = 2
DEVICES = 40
LIMIT_KWH = 100.0

DUPLICATES, CORRECTIONS, LATE, INVALID, GARBAGE = 0.10, 0.03, 0.05, 0.02, 0.005
GARBAGE_LINE = b"2026-01-01 00:00:00,1,none\n"


class Reading(NamedTuple):
    """One reading, as it is in L1: seconds since 1970, the meter, kWh."""

    timestamp: int
    device_id: int
    kWh: float

    @property
    def is_valid(self) -> bool:
        return 0 <= self.kWh < LIMIT_KWH

    @property
    def line(self) -> bytes:
        return f"{self.timestamp},{self.device_id},{self.kWh!r}\n".encode()


Key = tuple[int, int]


class Stream:
    """The lines of an endless stream by position: the same ones for the same seed, however often they are asked for.

    10 % are exact duplicates of earlier readings, 3 % corrections, 5 % late by days, 2 % invalid, and some are no
    readings at all. (One thread appends; others may read.)
    """

    HEADER = b"timestamp,device_id,power_usage_kWh\n"

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._readings: list[Reading | None] = []
        self._fresh = 0

    def line(self, position: int) -> bytes:
        """The line of a position."""
        while len(self._readings) <= position:
            self._readings.append(self._next())
        reading = self._readings[position]
        return GARBAGE_LINE if reading is None else reading.line

    def readings(self, position_to: int) -> list[tuple[int, Reading]]:
        """Position and reading of every line before ``position_to`` that is one."""
        return [(n, reading) for n, reading in enumerate(self._readings[:position_to]) if reading is not None]

    def _next(self) -> Reading | None:
        draw = self._random.random()
        earlier = self._random.choice(self._readings[-5000:]) if self._readings else None
        for share, kind in ((DUPLICATES, "duplicate"), (CORRECTIONS, "correction"), (GARBAGE, "garbage")):
            if draw < share:
                if kind == "garbage" or earlier is None:
                    return None
                return earlier if kind == "duplicate" else earlier._replace(kWh=self._value())
            draw -= share
        timestamp, device = self._next_key()
        if draw < LATE:
            # Not where a reading of the day stands already: a second later.
            return Reading(timestamp - self._random.randint(1, DAYS_LATE) * DAY_S + 1, device, self._value())
        return Reading(timestamp, device, self._value())

    def _next_key(self) -> Key:
        # Over the days, meter by meter; then over the same days again between the earlier readings, so that the stream
        # may be of any length while a proof stays a matter of seconds.
        step, device = divmod(self._fresh, DEVICES)
        lap, step = divmod(step, DAYS * DAY_S // INTERVAL_S)
        self._fresh += 1
        return FIRST_TIMESTAMP + step * INTERVAL_S + 2 * lap, device + 1

    def _value(self) -> float:
        value = round(self._random.uniform(0, 2), 4)
        if self._random.random() < INVALID:
            return -value - 0.001 if self._random.random() < 0.5 else value + LIMIT_KWH
        return value


class Expected:
    """What the layers must hold when ``readings`` (with their positions, in order) are what was accepted."""

    def __init__(self, readings: list[tuple[int, Reading]]) -> None:
        self.l1 = Counter(reading for _, reading in readings)
        self.positions: dict[Reading, list[int]] = {}
        newest: dict[Key, Reading] = {}
        for position, reading in readings:
            self.positions.setdefault(reading, []).append(position)
            if reading.is_valid:
                newest[reading.timestamp, reading.device_id] = reading
        self.l2 = Counter(newest.values())
        self.quarantine = Counter({reading: count for reading, count in self.l1.items() if not reading.is_valid})
        self.kWh = sum((Decimal(repr(reading.kWh)) for reading in newest.values()), Decimal(0))
