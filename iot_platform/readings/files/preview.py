"""The first readings of a file as a load would insert them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa

from iot_platform.devices.meter_ids import normalized
from iot_platform.readings.files.column_mapping import ColumnMapping, convert
from iot_platform.readings.files.local_times import RepeatedHours
from iot_platform.readings.files.parsing import reasons_of
from iot_platform.readings.files.raw_rows import RawRows
from iot_platform.readings.files.registers import RegisterReader, readings_table

ROWS = 10


def preview(
    rows: RawRows | None, mapping: ColumnMapping, repeated_hours: RepeatedHours | None
) -> list[tuple[str, str, float]]:
    """The first readings among rows: time in UTC, meter id and kWh. No meter is registered for it."""
    if rows is None:
        return []
    times, ids, energy = convert(rows, mapping, repeated_hours)
    good = np.flatnonzero(reasons_of(times, ids, energy) == "")
    if not mapping.conventions.is_register:
        good = good[:ROWS]
    seconds = np.array(times.values.take(pa.array(good)).to_pylist(), dtype=np.int64)
    kWh = np.array(energy.values.take(pa.array(good)).to_pylist(), dtype=np.float64)
    meters = normalized(ids.values.take(pa.array(good))).dictionary_encode()
    names = meters.dictionary.to_pylist()
    table = readings_table(seconds, np.array(meters.indices.to_pylist(), dtype=np.int64), kWh)
    if mapping.conventions.is_register:
        table = RegisterReader(mapping.conventions.interval_s).intervals(table)
    return [
        (f"{row['timestamp'].astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}", names[row["device_id"]], row["power_usage_kWh"])
        for row in table.slice(0, ROWS).to_pylist()
    ]
