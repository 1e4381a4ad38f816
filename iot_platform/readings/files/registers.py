"""Cumulative registers: which series look like one, and the energy of the intervals between their readings.

The rules, for a meter's readings in the order of time:

- The first reading gives no interval.
- A rise is the energy of the interval that ends at the reading. After a gap it is put into one interval, the last one.
- A fall to about 0 (RESET_SHARE of the last value, or less) is a reset: the value is the energy since then.
- A smaller fall (JITTER_KWH, or JITTER_SHARE of the last value) is jitter: no energy, until the old value is exceeded.
- Any other fall is a negative interval. L2 puts it into quarantine, where it can be looked at.
- A second reading of the same time gives no interval; the last one counts.
- Values that are negative or not finite are no readings of a register. They go into quarantine as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.files.series import Floats, MeterSeries, Numbers, by_meter_and_time

RESET_SHARE = 0.05
JITTER_KWH = 0.1
JITTER_SHARE = 0.01
_ROUNDING_KWH = 1e-9

SHORTEST_SUSPECT = 12
FEWEST_RISES = 6
RISES_PER_FALL = 10
VALUE_PER_RISE = 20


def suspects(series: MeterSeries) -> list[str]:
    """Meters whose values look like totals of a register: they hardly ever fall, and are large beside their rises."""
    readings, rises = series.column("readings"), series.column("rises")
    with np.errstate(over="ignore", invalid="ignore"):
        mean = series.column("total") / np.maximum(readings, 1)
        mean_rise = series.column("rise") / np.maximum(series.column("steps"), 1)
        is_large = mean >= VALUE_PER_RISE * mean_rise
    found = (readings >= SHORTEST_SUSPECT) & (rises >= FEWEST_RISES) & is_large
    found &= series.column("falls") * RISES_PER_FALL <= rises
    return [name for name, is_suspect in zip(series.names, found.tolist(), strict=True) if is_suspect]


def energies(values: Floats, last: float) -> tuple[Floats, float]:
    """The energy that each register value of a meter adds, and the value to go on from.

    ``last``: the value to go on from; without one (NaN), the energy of the first value is NaN.
    """
    previous = np.concatenate(([last], values[:-1]))
    with np.errstate(invalid="ignore"):
        change = values - previous
        falls = bool((change < 0).any())
    if not falls:
        return change, float(values[-1]) if len(values) else last
    result = np.empty_like(values)
    for index, value in enumerate(values.tolist()):
        energy, last = _step(value, last)
        result[index] = energy
    return result, last


def _step(value: float, last: float) -> tuple[float, float]:
    fall = last - value
    if not fall > 0:  # also for the first value
        return -fall, value
    jitter = max(JITTER_KWH, JITTER_SHARE * last) + _ROUNDING_KWH
    if fall > jitter and value <= RESET_SHARE * last:
        return value, value
    return (0.0, last) if fall <= jitter else (-fall, value)


@dataclass
class RegisterReader:
    """Turns register readings into intervals, piece by piece. The pieces of a meter must be in the order of time.

    ``interval_s``: the length of all intervals; 0: each starts at the reading before. ``without_interval``: how many
    readings gave none.
    """

    interval_s: int = 0
    without_interval: int = 0
    _last: dict[int, tuple[int, float]] = field(default_factory=dict)

    def intervals(self, readings: pa.Table) -> pa.Table:
        """The intervals that end in a piece, sorted by device and time."""
        devices = readings["device_id"].to_numpy().astype(np.int64)
        seconds = readings["timestamp"].cast(pa.int64()).to_numpy()
        devices, seconds, values = by_meter_and_time(devices, seconds, readings["power_usage_kWh"].to_numpy())
        is_total = np.isfinite(values) & (values >= 0)
        odd = readings_table(seconds[~is_total], devices[~is_total], values[~is_total])
        devices, seconds, values = devices[is_total], seconds[is_total], values[is_total]
        # The last of several readings of the same time.
        counts = np.append((devices[1:] != devices[:-1]) | (seconds[1:] != seconds[:-1]), True)[: len(devices)]
        self.without_interval += int((~counts).sum())
        devices, seconds, values = devices[counts], seconds[counts], values[counts]
        tables = [odd]
        bounds = np.flatnonzero(np.append(True, devices[1:] != devices[:-1]))[: len(devices)]
        for start, stop in zip(bounds.tolist(), [*bounds[1:].tolist(), len(devices)], strict=False):
            tables.append(self._of_device(int(devices[start]), seconds[start:stop], values[start:stop]))
        return pa.concat_tables(tables)

    def _of_device(self, device: int, seconds: Numbers, values: Floats) -> pa.Table:
        last_time, last = self._last.get(device, (-1, float("nan")))
        if seconds[0] <= last_time:
            # The last time once more; or an earlier one, of a meter whose id is written in two ways: the inspection has
            # refused all others that go back.
            is_new = seconds > last_time
            self.without_interval += int((~is_new).sum())
            seconds, values = seconds[is_new], values[is_new]
            if not len(seconds):
                return READING_SCHEMA.empty_table()
        result, last = energies(values, last)
        before = np.concatenate(([last_time], seconds[:-1]))
        self._last[device] = int(seconds[-1]), last
        starts = np.maximum(before, seconds - self.interval_s) if self.interval_s else before
        known = before >= 0
        self.without_interval += int((~known).sum())
        return readings_table(starts[known], np.full(int(known.sum()), device), result[known])


def readings_table(seconds: Numbers, devices: npt.NDArray[np.int64], values: Floats) -> pa.Table:
    """Readings from their columns."""
    times = pa.array(seconds, pa.int64()).cast(pa.timestamp("s", "UTC"))
    return pa.Table.from_arrays([times, pa.array(devices.astype(np.uint32)), pa.array(values)], schema=READING_SCHEMA)
