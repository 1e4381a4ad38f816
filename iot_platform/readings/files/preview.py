"""The first readings of a few meters of a file, as a load would insert them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa

from iot_platform.devices.meter_ids import normalized
from iot_platform.readings.files.column_mapping import ColumnMapping, convert
from iot_platform.readings.files.local_times import RepeatedHours
from iot_platform.readings.files.parsing import decoded, reasons_of
from iot_platform.readings.files.raw_rows import RawRows
from iot_platform.readings.files.registers import RegisterReader, readings_table

METERS = 3
ROWS = 10
# Some rows may not be readings, or end no interval.
_READ_ROWS = 3 * ROWS


def preview(
    rows: RawRows | None, mapping: ColumnMapping, repeated_hours: RepeatedHours | None
) -> list[tuple[str, str, float]]:
    """The first readings of the first meters among rows: time in UTC, meter id and kWh. It registers no meter."""
    if rows is None:
        return []
    rows = _of_first_meters(rows, mapping.columns.device, mapping.conventions.row_encoding)
    times, ids, energy = convert(rows, mapping, repeated_hours)
    good = np.flatnonzero(reasons_of(times, ids, energy) == "")
    seconds = np.array(times.values.take(pa.array(good)).to_pylist(), dtype=np.int64)
    kWh = np.array(energy.values.take(pa.array(good)).to_pylist(), dtype=np.float64)
    meters = normalized(ids.values.take(pa.array(good))).dictionary_encode()
    names = meters.dictionary.to_pylist()
    table = readings_table(seconds, np.array(meters.indices.to_pylist(), dtype=np.int64), kWh)
    if mapping.conventions.is_register:
        table = RegisterReader(mapping.conventions.interval_s).intervals(table)
    shown: dict[str, list[tuple[str, str, float]]] = {}
    for row in table.to_pylist():
        name = names[row["device_id"]]
        if len(found := shown.setdefault(name, [])) < ROWS:
            found.append((f"{row['timestamp'].astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}", name, row["power_usage_kWh"]))
    return [row for found in shown.values() for row in found]


def _of_first_meters(rows: RawRows, column: str, encoding: str) -> RawRows:
    ids = decoded(rows.columns[column], encoding)[0].dictionary_encode().indices
    codes = ids.fill_null(-1).to_numpy(zero_copy_only=False)
    first = ids.drop_null().unique().to_pylist()[:METERS]
    places = [np.flatnonzero(codes == code)[:_READ_ROWS] for code in first]
    chosen = np.sort(np.concatenate(places)) if places else np.empty(0, np.int64)
    return RawRows(
        columns={name: values.take(pa.array(chosen)) for name, values in rows.columns.items()},
        places=rows.places[chosen],
    )
