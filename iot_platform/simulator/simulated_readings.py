"""A deterministic stream of readings from simulated meters, faults included.

The same (seed, device, time) gives the same reading whichever window is asked for, so a window can be replayed and a
span cut anywhere: ``arrivals(a, c)`` equals ``arrivals(a, b)`` followed by ``arrivals(b, c)``, row by row.

Per reading only additions, multiplications and comparisons are used, no exp or log: those differ in the last bit
between CPUs and between the vector and the scalar code of numpy.
"""

from __future__ import annotations

import datetime as dt
import math
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
from iot_platform.simulator.faults import LABELS, MAX_DELAY_S, FaultRates, Faulty, Kind, delay_s, spoil
from iot_platform.simulator.random_numbers import Floats, UInt64s, draw

#: Raised whenever the readings of an unchanged simulator change, so that the stream gets a new name.
_VERSION = 1

#: Readings that are computed at once: small enough for the temporary arrays to stay in a CPU's cache.
_BLOCK_READINGS = 1 << 16

_DAY_S = 86_400
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ARRIVAL_SCHEMA: pa.Schema = READING_SCHEMA.append(pa.field("label", pa.dictionary(pa.int8(), pa.string())))


@dataclass(frozen=True)
class Simulator:
    """Meters first_device .. first_device + devices - 1, each read every ``interval_s`` seconds (divides 3600).

    ``faults`` are rates per reading; they never change the values of the readings they spare.
    """

    devices: int
    interval_s: int
    seed: int
    first_device: int = 1
    faults: FaultRates = FaultRates()

    def __post_init__(self) -> None:
        """Refuse intervals that do not tile an hour and device numbers that no reading can carry."""
        if self.interval_s <= 0 or 3600 % self.interval_s:
            raise PlatformError(f"The interval of the simulated readings must divide 3600 s, got {self.interval_s} s.")
        if self.devices < 1 or self.first_device < 1 or self.first_device + self.devices > 2**32:
            raise PlatformError(
                f"Simulated devices must lie in 1 .. 2^32 - 1, got {self.devices} from {self.first_device} on."
            )

    @classmethod
    def from_settings(cls, settings: Settings) -> Simulator:
        """The simulator that the IOT_SIMULATOR_* settings describe."""
        return cls(settings.simulator_devices, settings.simulator_interval_s, settings.simulator_seed)

    def source(self) -> str:
        """Name of this stream: the same name means the same readings, in every process and on every machine."""
        last = self.first_device + self.devices - 1
        return (
            f"simulator:v{_VERSION}:seed={self.seed}:interval={self.interval_s}s"
            f":devices={self.first_device}-{last}:faults={self.faults.digest}"
        )

    def arrivals(self, start: dt.datetime, end: dt.datetime) -> pa.Table:
        """Everything that arrives in [start, end), in order of arrival: ARRIVAL_SCHEMA.

        A reading arrives at the end of its interval, a late one after it. ``label`` says what is wrong with the row:
        ok, negative, nan, spike, late, or duplicate (the second copy; the first is ok). Needs about 21 bytes per
        reading for the result and 75 at the peak. Raises PlatformError for a time without a time zone.
        """
        start_s, end_s = _window_s(start, end)
        first, last = (self._first_slot(second) - 1 for second in (start_s, end_s))
        slots = np.arange(first, last, dtype=np.int64)
        values, faulty = self._readings(slots)
        deferred, deferred_s = self._deferred(faulty, first, start_s, end_s)
        values, kinds, kept = self._on_time(values, faulty, first)
        position = np.flatnonzero(kept)
        slot = slots[position // self.devices]
        # On-time rows are in order of arrival; each deferred row goes behind those that arrived up to its second.
        behind = np.searchsorted((slot + 1) * self.interval_s, deferred_s, side="right")
        starts_s = np.insert(slot, behind, deferred.slot) * self.interval_s
        device = np.insert(position % self.devices, behind, deferred.meter)
        labels = np.insert(kinds[position], behind, deferred.kind)
        columns = [
            pa.array(starts_s.astype("datetime64[s]")).cast(READING_SCHEMA.field("timestamp").type),
            pa.array(self._meters.device_id[device]),
            pa.array(np.insert(values[position], behind, self._values(deferred))),
            pa.DictionaryArray.from_arrays(labels, pa.array(LABELS)),
        ]
        return pa.Table.from_arrays(columns, schema=ARRIVAL_SCHEMA)

    def missing(self, start: dt.datetime, end: dt.datetime) -> list[tuple[dt.datetime, int]]:
        """(timestamp, device_id) of every reading with a timestamp in [start, end) that never arrives."""
        first, last = (self._first_slot(second) for second in _window_s(start, end))
        faulty = self.faulty(np.arange(first, last, dtype=np.int64))
        lost = faulty.where(faulty.kind == Kind.MISSING)
        times = [dt.datetime.fromtimestamp(slot * self.interval_s, dt.UTC) for slot in lost.slot.tolist()]
        return list(zip(times, self._meters.device_id[lost.meter].tolist(), strict=True))

    def device_metadata(self) -> pd.DataFrame:
        """One row per meter: device_id, customer_id, building_type, latitude, longitude."""
        return population.metadata(self.seed, self._meters)

    def chunks(
        self, start: dt.datetime, end: dt.datetime, max_readings: int
    ) -> Iterator[tuple[dt.datetime, dt.datetime]]:
        """Cut [start, end) into windows that each bring at most ``max_readings`` arrivals, but at least one interval.

        A cut falls on the same instants whatever the span: multiples of a step that divides the UTC day. So a span
        that is asked for again, or continued later, is cut into the same batches.
        """
        step_s = self._step_s(max_readings)
        begin_s, end_s = _window_s(start, end)
        while begin_s < end_s:
            stop_s = min((begin_s // step_s + 1) * step_s, end_s)
            yield dt.datetime.fromtimestamp(begin_s, dt.UTC), dt.datetime.fromtimestamp(stop_s, dt.UTC)
            begin_s = stop_s

    @cached_property
    def _meters(self) -> population.Population:
        return population.build(self.seed, self.first_device, self.devices)

    def _first_slot(self, second: int) -> int:
        """The first slot that begins at or after a second since 1970."""
        return -(-second // self.interval_s)

    def _blocks(self, slots: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Slots in runs of about _BLOCK_READINGS readings."""
        rows = max(1, _BLOCK_READINGS // self.devices)
        return (slots[begin : begin + rows] for begin in range(0, slots.size, rows))

    def _readings(self, slots: NDArray[np.int64]) -> tuple[Floats, Faulty]:
        """True energy in kWh of every reading of the slots, slot by slot, and which of them have a fault."""
        values = np.empty(slots.size * self.devices, dtype=np.float64)
        faulty = [Faulty.nothing()]
        done = 0
        for block in self._blocks(slots):
            bits = consumption.random_bits(self._meters, block)
            faulty.append(self._find_faults(block, bits))
            energy = consumption.table(self._meters, block, self.interval_s, bits)
            values[done : done + energy.size] = energy.ravel()
            done += energy.size
        return values, Faulty.concat(faulty)

    def faulty(self, slots: NDArray[np.int64]) -> Faulty:
        """Which readings of the slots have a fault."""
        blocks = ((block, consumption.random_bits(self._meters, block)) for block in self._blocks(slots))
        return Faulty.concat([Faulty.nothing(), *(self._find_faults(block, bits) for block, bits in blocks)])

    def _find_faults(self, slots: NDArray[np.int64], bits: UInt64s) -> Faulty:
        flat, kinds = self.faults.find(bits)
        row, meter = np.divmod(flat, self.devices)
        return Faulty(slots[row], meter, kinds)

    def _values(self, readings: Faulty) -> Floats:
        return consumption.at(self._meters, readings.slot, readings.meter, self.interval_s)

    def _on_time(
        self, values: Floats, faulty: Faulty, first: int
    ) -> tuple[Floats, NDArray[np.int8], NDArray[np.bool_]]:
        """What the meters send in time: values, labels, and which readings arrive at all."""
        flat = (faulty.slot - first) * self.devices + faulty.meter
        bits = draw(self._meters.spoil_keys[faulty.meter], faulty.slot)
        values[flat] = spoil(values[flat], faulty.kind, bits, consumption.STEPS_PER_KWH)
        kinds = np.zeros(values.size, dtype=np.int8)
        # The first copy of a reading that is sent twice is a good one.
        kinds[flat] = np.where(faulty.kind == Kind.DUPLICATE, np.int8(Kind.OK), faulty.kind)
        kept = np.ones(values.size, dtype=np.bool_)
        kept[flat] = (faulty.kind != Kind.LATE) & (faulty.kind != Kind.MISSING)
        return values, kinds, kept

    def _deferred(self, faulty: Faulty, first: int, start_s: int, end_s: int) -> tuple[Faulty, NDArray[np.int64]]:
        """Late readings and second copies that arrive in [start_s, end_s), in order of arrival, and when (s)."""
        earliest = self._first_slot(start_s - MAX_DELAY_S) - 1
        hours = range(earliest * self.interval_s // 3600, (first - 1) * self.interval_s // 3600 + 1)
        past = Faulty.concat([Faulty.nothing(), *(_deferred_of_hour(self, hour) for hour in hours)])
        readings = Faulty.concat([past.where(past.slot < first), faulty.where(faulty.deferred)])
        delays_s = delay_s(draw(self._meters.delay_keys[readings.meter], readings.slot))
        when_s = (readings.slot + 1) * self.interval_s + delays_s
        inside = np.flatnonzero((when_s >= start_s) & (when_s < end_s))
        order = inside[np.argsort(when_s[inside], kind="stable")]
        return readings.where(order), when_s[order]

    def _step_s(self, max_readings: int) -> int:
        """The longest divisor of a day, in s, in which at most ``max_readings`` arrive; at least one interval."""
        slots_a_day = _DAY_S // self.interval_s
        extra = self.faults.late + self.faults.duplicate
        for slots in range(min(slots_a_day, max_readings // self.devices), 1, -1):
            # Deferred readings come on top, in varying number: six standard deviations are never exceeded in practice.
            deferred = slots * self.devices * extra
            if slots_a_day % slots == 0 and slots * self.devices + deferred + 6 * math.sqrt(deferred) <= max_readings:
                return slots * self.interval_s
        return self.interval_s


@lru_cache(maxsize=64)
def _deferred_of_hour(simulator: Simulator, hour: int) -> Faulty:
    """Late and duplicate readings of one hour (since 1970): a live stream asks for the last six hours every minute."""
    slots_an_hour = 3600 // simulator.interval_s
    faulty = simulator.faulty(np.arange(hour * slots_an_hour, (hour + 1) * slots_an_hour, dtype=np.int64))
    return faulty.where(faulty.deferred)


def _window_s(start: dt.datetime, end: dt.datetime) -> tuple[int, int]:
    """Both ends in seconds since 1970, rounded up: everything in the stream happens at whole seconds."""
    if start.tzinfo is None or end.tzinfo is None:
        raise PlatformError(f"The simulator needs times with a time zone, got {start} to {end}.")
    if end < start:
        raise PlatformError(f"The simulated window ends before it starts: {start} to {end}.")
    start_s, end_s = (-((_EPOCH - time) // dt.timedelta(seconds=1)) for time in (start, end))
    return start_s, end_s
