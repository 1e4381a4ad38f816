"""The truth in plain Python: what was accepted, and what every layer must hold because of it."""

from __future__ import annotations

import datetime as dt
import math
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from iot_platform_tests.stateful.metadata import HOUR_S, Joined, Metadata

YEAR_2000 = 946_684_800
DAY_S = 86_400
BUILT_IN_KWH = 100.0
BUILT_IN_FUTURE_S = 600
NANO = Decimal("1e-9")

# Rows of a layer as tuples, by partition.
Rows = dict[str, Counter[tuple[Any, ...]]]


@dataclass(frozen=True)
class Reading:
    """One reading as it is in L1. ``arrived_us``: microseconds since 1970."""

    timestamp: int
    device: int
    kWh: float
    arrived_us: int

    @property
    def key(self) -> tuple[int, int]:
        return self.device, self.timestamp

    @property
    def row(self) -> tuple[int, int, int, int]:
        """Its row in L1 and in the quarantine, with the value's bits: NaN equals itself."""
        return self.timestamp, self.device, bits(self.kWh), self.arrived_us

    @property
    def cleaned(self) -> tuple[int, int, int, int]:
        """Its row in L2, which knows one zero."""
        return self.timestamp, self.device, bits(self.kWh + 0.0), self.arrived_us

    @property
    def partition(self) -> str:
        too_far = self.timestamp * 1_000_000 > self.arrived_us + DAY_S * 1_000_000
        return "0" if self.timestamp < YEAR_2000 or too_far else day_of(self.timestamp)


@dataclass
class Limits:
    """Limits of energy by scope and key: from when on which holds, None: none. Time limits by name."""

    kWh: dict[tuple[str, str], list[tuple[int, float | None]]] = field(default_factory=dict)
    time_s: dict[str, int] = field(default_factory=dict)

    def put(self, scope: str, key: str, start: int, value: float | None) -> None:
        """Set a limit from a time on, or remove it; what was set for later ends."""
        before = [period for period in self.kWh.get((scope, key), []) if period[0] < start]
        self.kWh[scope, key] = [*before, (start, value)]

    def has(self, scope: str, key: str, start: int) -> bool:
        """Whether there is a limit at this time or later."""
        periods = self.kWh.get((scope, key), [])
        return _last(periods, start) is not None or any(value for at, value in periods if at > start)

    def of(self, device: int, building_type: str | None, timestamp: int) -> float:
        """The limit of a reading of a device that had this building type then."""
        names = [("device", str(device)), ("building_type", building_type or ""), ("default", "")]
        found = (_last(self.kWh.get(name, []), timestamp) for name in names)
        return next((value for value in found if value is not None), BUILT_IN_KWH)


def _last(periods: Sequence[tuple[int, float | None]], time: int) -> float | None:
    return next((value for start, value in reversed(periods) if start <= time), None)


class Truth:
    """Accepted readings, metadata and limits."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.metadata = Metadata()
        self.limits = Limits()

    def accept(self, rows: Sequence[tuple[int, int, float]], arrived_us: int) -> None:
        """Take in a batch. Of several readings of one key each arrives a microsecond after the one before."""
        seen: Counter[tuple[int, int]] = Counter()
        for timestamp, device, kWh in rows:
            later = seen[device, timestamp]
            seen[device, timestamp] += 1
            self.readings.append(Reading(timestamp, device, kWh, arrived_us + later))

    def withdraw(self, rows: Sequence[tuple[int, int, float]], arrived_us: int) -> None:
        """Take a batch out again."""
        batch = Truth()
        batch.accept(rows, arrived_us)
        gone = batch.raw()
        for index in reversed(range(len(self.readings))):
            row = self.readings[index].row
            if gone[row]:
                gone[row] -= 1
                del self.readings[index]
        assert not gone.total(), "A batch was unloaded that was not accepted."

    def raw(self) -> Counter[tuple[Any, ...]]:
        """Rows of L1."""
        return Counter(reading.row for reading in self.readings)

    def expected(self) -> Expected:
        """What the layers must hold now."""
        refused: list[tuple[Reading, str]] = []
        winners: dict[tuple[int, int], Reading] = {}
        valid = 0
        for reading in self.readings:
            if reason := self._reason(reading):
                refused.append((reading, reason))
                continue
            valid += 1
            best = winners.get(reading.key)
            if best is None or (reading.arrived_us, reading.kWh) > (best.arrived_us, best.kWh):
                winners[reading.key] = reading
        return Expected(list(winners.values()), refused, valid - len(winners), self.metadata.joined)

    def _reason(self, reading: Reading) -> str:
        most = self.limits.of(
            reading.device, self.metadata.type_at(reading.device, reading.timestamp), reading.timestamp
        )
        oldest = self.limits.time_s.get("oldest_timestamp", YEAR_2000)
        future_s = self.limits.time_s.get("max_future", BUILT_IN_FUTURE_S)
        rules = {
            "no_device": reading.device == 0,
            "not_a_number": math.isnan(reading.kWh),
            "infinite": math.isinf(reading.kWh),
            "negative": reading.kWh < 0,
            "too_old": reading.timestamp < oldest,
            "in_the_future": reading.timestamp * 1_000_000 > reading.arrived_us + future_s * 1_000_000,
            "over_limit": reading.kWh >= most,
        }
        return next((reason for reason, is_so in rules.items() if is_so), "")


@dataclass
class Expected:
    """What the layers must hold: the readings that win, with what metadata says of them, and those refused."""

    winners: list[Reading]
    refused: list[tuple[Reading, str]]
    duplicates: int
    joined: Callable[[int, int], Joined]

    @cached_property
    def cleaned(self) -> Rows:
        return _by_partition((day_of(reading.timestamp), reading.cleaned) for reading in self.winners)

    @cached_property
    def quarantine(self) -> Rows:
        return _by_partition((reading.partition, (*reading.row, reason)) for reading, reason in self.refused)

    @cached_property
    def joined_rows(self) -> Rows:
        return _by_partition(
            (day_of(reading.timestamp), (*reading.cleaned, *joined, local(reading.timestamp, joined[-1])))
            for reading, joined in self._enriched
        )

    @cached_property
    def hourly(self) -> Rows:
        return self._sums(lambda reading, joined: (*_hours(reading, joined), reading.device, *joined))

    @cached_property
    def hourly_by_building_type(self) -> Rows:
        return self._sums(lambda reading, joined: (*_hours(reading, joined), joined[1], joined[4]))

    @cached_property
    def daily_by_device(self) -> Rows:
        return self._sums(
            lambda reading, joined: (reading.timestamp - reading.timestamp % DAY_S, reading.device, *joined[:5])
        )

    def _sums(self, key: Callable[[Reading, Joined], tuple[Any, ...]]) -> Rows:
        """Energy, number and maximum of the readings by a key that begins with a time of UTC."""
        groups: dict[tuple[Any, ...], list[Reading]] = defaultdict(list)
        for reading, joined in self._enriched:
            groups[key(reading, joined)].append(reading)
        return _by_partition(
            (
                day_of(key[0]),
                (
                    *key,
                    sum((energy(reading.kWh) for reading in group), Decimal(0)),
                    len(group),
                    max(reading.kWh for reading in group),
                ),
            )
            for key, group in groups.items()
        )

    @cached_property
    def _enriched(self) -> list[tuple[Reading, Joined]]:
        return [(reading, self.joined(reading.device, reading.timestamp)) for reading in self.winners]

    @property
    def total_kWh(self) -> Decimal:  # noqa: N802
        return sum((energy(reading.kWh) for reading in self.winners), Decimal(0))

    @property
    def rejected(self) -> dict[str, int]:
        return dict(Counter(reason for _, reason in self.refused))

    @property
    def without_metadata(self) -> int:
        return sum(not self.joined(reading.device, reading.timestamp)[4] for reading in self.winners)


def energy(kWh: float) -> Decimal:
    """A reading's energy in whole nano-kWh, rounded as sql/020 says, in the arithmetic of doubles."""
    return int((kWh + 5e-10) * 1e9) * NANO


def bits(value: float) -> int:
    """A double's bits as a number."""
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def local(timestamp: int, zone: str) -> int:
    """A time on the clock of a zone, written as if it were UTC."""
    clock = dt.datetime.fromtimestamp(timestamp, ZoneInfo(zone))
    return int(clock.replace(tzinfo=dt.UTC).timestamp())


def _hours(reading: Reading, joined: Joined) -> tuple[int, int]:
    here = local(reading.timestamp, joined[-1])
    return reading.timestamp - reading.timestamp % HOUR_S, here - here % HOUR_S


def day_of(timestamp: int) -> str:
    """The partition of a time."""
    return dt.datetime.fromtimestamp(timestamp, dt.UTC).strftime("%Y%m%d")


def _by_partition(rows: Any) -> Rows:
    found: Rows = defaultdict(Counter)
    for partition, row in rows:
        found[partition][row] += 1
    return found
