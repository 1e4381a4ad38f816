"""What goes wrong between a meter and the platform, as a rate per reading."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_platform.errors import PlatformError
from iot_platform.simulator.random_numbers import Floats, UInt64s, unit

#: A late reading, or the second copy of a duplicate, arrives at most this long after the end of its interval.
MAX_DELAY_S = 6 * 3600
MIN_DELAY_S = 60

#: Bits of the per-reading random number that choose the fault: rates are exact to 2^-28.
FAULT_BITS = 28

#: Range of a spike in kWh: above the limit of any building, as when a meter sends its register instead of the interval.
SPIKE_KWH = (1_000.0, 100_000.0)


class Kind(enum.IntEnum):
    """What happens to one reading; a reading has at most one fault."""

    OK = 0
    NEGATIVE = 1
    NAN = 2
    SPIKE = 3
    LATE = 4
    DUPLICATE = 5
    MISSING = 6


#: Labels of what arrives, by Kind. Missing readings never arrive and so have none.
LABELS = [kind.name.lower() for kind in Kind if kind is not Kind.MISSING]


@dataclass(frozen=True, eq=False)
class Faulty:
    """Readings that have a fault: slot (intervals since 1970), position of the meter, and Kind, one row each."""

    slot: NDArray[np.int64]
    meter: NDArray[np.intp]
    kind: NDArray[np.int8]

    @classmethod
    def nothing(cls) -> Faulty:
        """No reading."""
        return cls(np.empty(0, np.int64), np.empty(0, np.intp), np.empty(0, np.int8))

    @classmethod
    def concat(cls, parts: Sequence[Faulty]) -> Faulty:
        """The rows of all parts, one after the other; at least one part."""
        slots, meters, kinds = zip(*((part.slot, part.meter, part.kind) for part in parts), strict=True)
        return cls(np.concatenate(slots), np.concatenate(meters), np.concatenate(kinds))

    def where(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Faulty:
        """The rows of a mask, or those at given positions."""
        return Faulty(self.slot[rows], self.meter[rows], self.kind[rows])

    @property
    def deferred(self) -> NDArray[np.bool_]:
        """Mask of the rows that bring an arrival after the end of their interval."""
        return np.isin(self.kind, (Kind.LATE, Kind.DUPLICATE))


@dataclass(frozen=True)
class FaultRates:
    """Share of all readings that have each fault.

    negative   the value has the wrong sign
    nan        the value is not a number
    spike      the value is far above any building's consumption
    late       right, but arrives up to MAX_DELAY_S after its interval's end
    duplicate  arrives on time and a second time, with the same value, up to MAX_DELAY_S later
    missing    never arrives
    """

    negative: float = 2e-4
    nan: float = 2e-4
    spike: float = 1e-4
    late: float = 5e-3
    duplicate: float = 1e-3
    missing: float = 2e-3

    def __post_init__(self) -> None:
        """Refuse rates that are no shares or leave no room for each other."""
        rates = dataclasses.asdict(self)
        wrong = {name: rate for name, rate in rates.items() if not 0 <= rate <= 1}
        if wrong or sum(rates.values()) > 1:
            raise PlatformError(f"Fault rates must be between 0 and 1 and sum to at most 1, got {wrong or rates}.")

    @classmethod
    def none(cls) -> FaultRates:
        """Meters and network without a fault."""
        return cls(**{field.name: 0.0 for field in dataclasses.fields(cls)})

    @property
    def digest(self) -> str:
        """Short name of these rates: equal rates, equal digest."""
        text = ",".join(f"{name}={rate!r}" for name, rate in sorted(dataclasses.asdict(self).items()))
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def find(self, bits: UInt64s) -> tuple[NDArray[np.intp], NDArray[np.int8]]:
        """Flat positions in ``bits`` (one random number per reading) that have a fault, and the Kind of each."""
        kinds = [kind for kind in Kind if kind is not Kind.OK]
        rates = [float(getattr(self, kind.name.lower())) for kind in kinds]
        limits = np.rint(np.cumsum(rates) * 2**FAULT_BITS).astype(np.uint64)
        chance = bits >> np.uint64(64 - FAULT_BITS)
        where = np.flatnonzero(chance < limits[-1])
        # Kinds are numbered in the order of the limits, starting at 1.
        found = np.searchsorted(limits, chance.ravel()[where], side="right") + 1
        return where, found.astype(np.int8)


def spoil(values: Floats, kinds: NDArray[np.int8], bits: UInt64s, steps_per_kWh: int) -> Floats:
    """The values (kWh) that the meters send instead of the true ones, given each reading's Kind and random bits."""
    low, high = SPIKE_KWH
    spikes = np.rint((low + (high - low) * unit(bits)) * steps_per_kWh) / steps_per_kWh
    # A zero with its sign flipped is still a valid zero: the smallest step of the register stands in for it.
    negatives = -np.maximum(values, 1 / steps_per_kWh)
    choices = [negatives, np.full_like(values, np.nan), spikes]
    return np.select([kinds == Kind.NEGATIVE, kinds == Kind.NAN, kinds == Kind.SPIKE], choices, default=values)


def delay_s(bits: UInt64s) -> NDArray[np.int64]:
    """Seconds from the end of the interval to the delayed arrival: mostly minutes, at most MAX_DELAY_S."""
    chance = unit(bits)
    return (MIN_DELAY_S + np.floor(chance * chance * chance * (MAX_DELAY_S - MIN_DELAY_S + 1))).astype(np.int64)
