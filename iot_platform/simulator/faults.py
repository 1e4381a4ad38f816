"""Faults between a meter and the platform: what can go wrong with a reading, and how often."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_platform.errors import PlatformError
from iot_platform.simulator.random_numbers import Floats, UInt64s, unit_interval

#: A late reading, or the second copy of a duplicate, arrives between these times after the end of its interval.
MIN_DELAY_S = 60
MAX_DELAY_S = 6 * 3600

#: Bits of a reading's random number that decide its fault: rates are exact to 2^-28.
FAULT_BITS = 28

#: Range of a spike in kWh: above the limit of any building, as when a meter sends its register's total.
SPIKE_KWH = (1_000.0, 100_000.0)


class FaultKind(enum.IntEnum):
    """The fault of a reading. A reading has at most one."""

    OK = 0
    NEGATIVE = 1
    NAN = 2
    SPIKE = 3
    LATE = 4
    DUPLICATE = 5
    MISSING = 6


#: Label of each kind of arrival. Missing readings never arrive, so they have none.
LABELS = [kind.name.lower() for kind in FaultKind if kind is not FaultKind.MISSING]


@dataclass(frozen=True, eq=False)
class FaultyReadings:
    """Readings with a fault, one row each: slot (interval number since 1970), position of the meter, and kind."""

    slot: NDArray[np.int64]
    meter: NDArray[np.intp]
    kind: NDArray[np.int8]

    @classmethod
    def empty(cls) -> FaultyReadings:
        """No readings."""
        return cls(np.empty(0, np.int64), np.empty(0, np.intp), np.empty(0, np.int8))

    @classmethod
    def concat(cls, parts: Sequence[FaultyReadings]) -> FaultyReadings:
        """The rows of all parts, in order. There must be at least one part."""
        slots, meters, kinds = zip(*((part.slot, part.meter, part.kind) for part in parts), strict=True)
        return cls(np.concatenate(slots), np.concatenate(meters), np.concatenate(kinds))

    def select(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> FaultyReadings:
        """The rows that a mask or a list of positions selects."""
        return FaultyReadings(self.slot[rows], self.meter[rows], self.kind[rows])

    @property
    def is_deferred(self) -> NDArray[np.bool_]:
        """Mask of the rows with an arrival some time after the end of their interval."""
        return np.isin(self.kind, (FaultKind.LATE, FaultKind.DUPLICATE))


@dataclass(frozen=True)
class FaultRates:
    """Share of all readings that have each fault.

    negative   the value has the wrong sign
    nan        the value is not a number
    spike      the value is far above any building's consumption
    late       the value is right, but arrives up to MAX_DELAY_S after the end of its interval
    duplicate  the reading arrives on time, and again with the same value up to MAX_DELAY_S later
    missing    the reading never arrives
    """

    negative: float = 2e-4
    nan: float = 2e-4
    spike: float = 1e-4
    late: float = 5e-3
    duplicate: float = 1e-3
    missing: float = 2e-3

    def __post_init__(self) -> None:
        """Refuse rates outside 0 to 1, and rates that sum to more than 1."""
        rates = dataclasses.asdict(self)
        wrong = {name: rate for name, rate in rates.items() if not 0 <= rate <= 1}
        if wrong or sum(rates.values()) > 1:
            raise PlatformError(f"Fault rates must be between 0 and 1 and sum to at most 1, got {wrong or rates}.")

    @classmethod
    def none(cls) -> FaultRates:
        """No faults."""
        return cls(**{field.name: 0.0 for field in dataclasses.fields(cls)})

    @property
    def digest(self) -> str:
        """A short hash of these rates."""
        text = ",".join(f"{name}={rate!r}" for name, rate in sorted(dataclasses.asdict(self).items()))
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def find(self, bits: UInt64s) -> tuple[NDArray[np.intp], NDArray[np.int8]]:
        """Flat positions in ``bits`` (one random number per reading) of the readings with a fault, and their kinds."""
        kinds = [kind for kind in FaultKind if kind is not FaultKind.OK]
        rates = [float(getattr(self, kind.name.lower())) for kind in kinds]
        limits = np.rint(np.cumsum(rates) * 2**FAULT_BITS).astype(np.uint64)
        chance = bits >> np.uint64(64 - FAULT_BITS)
        where = np.flatnonzero(chance < limits[-1])
        # Kinds are numbered in the order of the limits, starting at 1.
        found = np.searchsorted(limits, chance.ravel()[where], side="right") + 1
        return where, found.astype(np.int8)


def faulty_values(values: Floats, kinds: NDArray[np.int8], bits: UInt64s, steps_per_kWh: int) -> Floats:
    """The values (kWh) that the meters send instead of the true ones, given each reading's kind and random bits."""
    low, high = SPIKE_KWH
    spikes = np.rint((low + (high - low) * unit_interval(bits)) * steps_per_kWh) / steps_per_kWh
    # A negative zero would still be valid: use the smallest step of the register instead.
    negatives = -np.maximum(values, 1 / steps_per_kWh)
    choices = [negatives, np.full_like(values, np.nan), spikes]
    return np.select(
        [kinds == FaultKind.NEGATIVE, kinds == FaultKind.NAN, kinds == FaultKind.SPIKE], choices, default=values
    )


def delays_s(bits: UInt64s) -> NDArray[np.int64]:
    """Seconds from the end of the interval to the deferred arrival: mostly minutes, at most MAX_DELAY_S."""
    chance = unit_interval(bits)
    return (MIN_DELAY_S + np.floor(chance * chance * chance * (MAX_DELAY_S - MIN_DELAY_S + 1))).astype(np.int64)
