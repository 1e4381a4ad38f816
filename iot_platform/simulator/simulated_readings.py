"""A deterministic stream of readings from simulated meters, including faults.

A reading depends only on (seed, device, time), not on the window that is requested. So windows can be repeated and
split anywhere: ``arrivals(a, c)`` equals ``arrivals(a, b)`` followed by ``arrivals(b, c)``, row by row.

Readings are computed only with additions, multiplications and comparisons. The last bits of exp and log differ between
CPUs, and between the vector and scalar code of numpy.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from iot_platform.errors import PlatformError
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.settings import Settings
from iot_platform.simulator import consumption, population
from iot_platform.simulator.faults import (
    LABELS,
    MAX_DELAY_S,
    FaultKind,
    FaultRates,
    FaultyReadings,
    delays_s,
    faulty_values,
)
from iot_platform.simulator.random_numbers import Floats, UInt64s, random_bits

#: Increase it when a change of the code changes the readings. It is part of the name of the stream.
_VERSION = 1

#: Readings that are computed at once: few enough for the temporary arrays to fit in a CPU's cache.
_BLOCK_READINGS = 1 << 16

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ARRIVAL_SCHEMA: pa.Schema = READING_SCHEMA.append(pa.field("label", pa.dictionary(pa.int8(), pa.string())))


@dataclass(frozen=True)
class Simulator:
    """Meters first_device to first_device + devices - 1, each read every ``interval_s`` seconds (a divisor of 3600).

    ``faults`` are rates per reading. They do not change the values of readings without a fault.
    """

    devices: int
    interval_s: int
    seed: int
    first_device: int = 1
    faults: FaultRates = FaultRates()

    def __post_init__(self) -> None:
        """Refuse intervals that do not divide an hour, and device ids that do not fit into a reading."""
        if self.interval_s <= 0 or 3600 % self.interval_s:
            raise PlatformError(f"The interval of the simulated readings must divide 3600 s, got {self.interval_s} s.")
        if self.devices < 1 or self.first_device < 1 or self.first_device + self.devices > 2**32:
            raise PlatformError(
                f"Simulated devices must lie in 1 .. 2^32 - 1, got {self.devices} from {self.first_device} on."
            )

    @classmethod
    def from_settings(cls, settings: Settings) -> Simulator:
        """The simulator with the IOT_SIMULATOR_* settings."""
        return cls(settings.simulator_devices, settings.simulator_interval_s, settings.simulator_seed)

    def source(self) -> str:
        """The name of this stream. Equal names mean equal readings, in every process and on every machine."""
        last = self.first_device + self.devices - 1
        return (
            f"simulator:v{_VERSION}:seed={self.seed}:interval={self.interval_s}s"
            f":devices={self.first_device}-{last}:faults={self.faults.digest}"
        )

    def arrivals(self, start: dt.datetime, end: dt.datetime) -> pa.Table:
        """All readings that arrive in [start, end), in order of arrival: ARRIVAL_SCHEMA.

        A reading arrives at the end of its interval, or later if it is late. ``label`` is the fault of the row: ok,
        negative, nan, spike, late, or duplicate (the second copy; the first one is ok). The result needs about 21 bytes
        per reading, and 75 at the peak. Raises PlatformError for a time without a time zone.
        """
        start_s, end_s = _window_s(start, end)
        first, last = (self._first_slot(second) - 1 for second in (start_s, end_s))
        slots = np.arange(first, last, dtype=np.int64)
        values, faulty = self._readings(slots)
        deferred, deferred_s = self._deferred(faulty, first, start_s, end_s)
        values, kinds, kept = self._on_time(values, faulty, first)
        position = np.flatnonzero(kept)
        slot = slots[position // self.devices]
        # Rows on time are in order of arrival. Each deferred row is inserted after those that arrive up to its second.
        insert_at = np.searchsorted((slot + 1) * self.interval_s, deferred_s, side="right")
        starts_s = np.insert(slot, insert_at, deferred.slot) * self.interval_s
        device = np.insert(position % self.devices, insert_at, deferred.meter)
        labels = np.insert(kinds[position], insert_at, deferred.kind)
        columns = [
            pa.array(starts_s.astype("datetime64[s]")).cast(READING_SCHEMA.field("timestamp").type),
            pa.array(self._meters.device_id[device]),
            pa.array(np.insert(values[position], insert_at, self._values(deferred))),
            pa.DictionaryArray.from_arrays(labels, pa.array(LABELS)),
        ]
        return pa.Table.from_arrays(columns, schema=ARRIVAL_SCHEMA)

    def missing(self, start: dt.datetime, end: dt.datetime) -> list[tuple[dt.datetime, int]]:
        """(timestamp, device_id) of all readings with a timestamp in [start, end) that never arrive."""
        first, last = (self._first_slot(second) for second in _window_s(start, end))
        faulty = self.faulty(np.arange(first, last, dtype=np.int64))
        lost = faulty.select(faulty.kind == FaultKind.MISSING)
        times = [dt.datetime.fromtimestamp(slot * self.interval_s, dt.UTC) for slot in lost.slot.tolist()]
        return list(zip(times, self._meters.device_id[lost.meter].tolist(), strict=True))

    def device_metadata(self) -> pd.DataFrame:
        """One row per meter: device_id, customer_id, building_type, latitude, longitude."""
        return population.device_metadata(self.seed, self._meters)

    @cached_property
    def _meters(self) -> population.Population:
        return population.build_population(self.seed, self.first_device, self.devices)

    def _first_slot(self, second: int) -> int:
        """The first slot that begins at or after a second since 1970."""
        return -(-second // self.interval_s)

    def _blocks(self, slots: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Split slots into blocks of about _BLOCK_READINGS readings."""
        rows = max(1, _BLOCK_READINGS // self.devices)
        return (slots[begin : begin + rows] for begin in range(0, slots.size, rows))

    def _readings(self, slots: NDArray[np.int64]) -> tuple[Floats, FaultyReadings]:
        """True energy in kWh of all readings of the slots, slot by slot, and which of them have a fault."""
        values = np.empty(slots.size * self.devices, dtype=np.float64)
        faulty = [FaultyReadings.empty()]
        done = 0
        for block in self._blocks(slots):
            bits = consumption.bits_of_slots(self._meters, block)
            faulty.append(self._find_faults(block, bits))
            energy = consumption.energy_table(self._meters, block, self.interval_s, bits)
            values[done : done + energy.size] = energy.ravel()
            done += energy.size
        return values, FaultyReadings.concat(faulty)

    def faulty(self, slots: NDArray[np.int64]) -> FaultyReadings:
        """The readings of the slots that have a fault."""
        blocks = ((block, consumption.bits_of_slots(self._meters, block)) for block in self._blocks(slots))
        return FaultyReadings.concat(
            [FaultyReadings.empty(), *(self._find_faults(block, bits) for block, bits in blocks)]
        )

    def _find_faults(self, slots: NDArray[np.int64], bits: UInt64s) -> FaultyReadings:
        flat, kinds = self.faults.find(bits)
        row, meter = np.divmod(flat, self.devices)
        return FaultyReadings(slots[row], meter, kinds)

    def _values(self, readings: FaultyReadings) -> Floats:
        return consumption.energy_of(self._meters, readings.slot, readings.meter, self.interval_s)

    def _on_time(
        self, values: Floats, faulty: FaultyReadings, first: int
    ) -> tuple[Floats, NDArray[np.int8], NDArray[np.bool_]]:
        """What the meters send on time: values, kinds, and a mask of the readings that arrive on time."""
        flat = (faulty.slot - first) * self.devices + faulty.meter
        bits = random_bits(self._meters.fault_value_keys[faulty.meter], faulty.slot)
        values[flat] = faulty_values(values[flat], faulty.kind, bits, consumption.STEPS_PER_KWH)
        kinds = np.zeros(values.size, dtype=np.int8)
        # The first copy of a reading that is sent twice has no fault.
        kinds[flat] = np.where(faulty.kind == FaultKind.DUPLICATE, np.int8(FaultKind.OK), faulty.kind)
        kept = np.ones(values.size, dtype=np.bool_)
        kept[flat] = (faulty.kind != FaultKind.LATE) & (faulty.kind != FaultKind.MISSING)
        return values, kinds, kept

    def _deferred(
        self, faulty: FaultyReadings, first: int, start_s: int, end_s: int
    ) -> tuple[FaultyReadings, NDArray[np.int64]]:
        """Late readings and second copies that arrive in [start_s, end_s), in order of arrival, and their times (s)."""
        earliest = self._first_slot(start_s - MAX_DELAY_S) - 1
        hours = range(earliest * self.interval_s // 3600, (first - 1) * self.interval_s // 3600 + 1)
        past = FaultyReadings.concat([FaultyReadings.empty(), *(_deferred_of_hour(self, hour) for hour in hours)])
        readings = FaultyReadings.concat([past.select(past.slot < first), faulty.select(faulty.is_deferred)])
        deferral_s = delays_s(random_bits(self._meters.delay_keys[readings.meter], readings.slot))
        arrival_s = (readings.slot + 1) * self.interval_s + deferral_s
        inside = np.flatnonzero((arrival_s >= start_s) & (arrival_s < end_s))
        order = inside[np.argsort(arrival_s[inside], kind="stable")]
        return readings.select(order), arrival_s[order]


@lru_cache(maxsize=64)
def _deferred_of_hour(simulator: Simulator, hour: int) -> FaultyReadings:
    """Late and duplicate readings of one hour (since 1970); cached, as a live stream needs six hours each minute."""
    slots_an_hour = 3600 // simulator.interval_s
    faulty = simulator.faulty(np.arange(hour * slots_an_hour, (hour + 1) * slots_an_hour, dtype=np.int64))
    return faulty.select(faulty.is_deferred)


def _window_s(start: dt.datetime, end: dt.datetime) -> tuple[int, int]:
    """Both ends in seconds since 1970, rounded up: all times in the stream are whole seconds."""
    if start.tzinfo is None or end.tzinfo is None:
        raise PlatformError(f"The simulator needs times with a time zone, got {start} to {end}.")
    if end < start:
        raise PlatformError(f"The simulated window ends before it starts: {start} to {end}.")
    start_s, end_s = (-((_EPOCH - time) // dt.timedelta(seconds=1)) for time in (start, end))
    return start_s, end_s
