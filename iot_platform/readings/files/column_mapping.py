"""Convert raw rows to readings, with the column mapping of one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from iot_platform.devices.meter_ids import IdKind, MeterIds, guess_kind, numeric_ids
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.files.columns import Columns
from iot_platform.readings.files.parsing import parse_energy, parse_ids, parse_timestamps, reasons_of
from iot_platform.readings.files.raw_rows import RawRows, Reject

BAD_DEVICE_ID = "device_id_not_1_to_999999999"


@dataclass(frozen=True)
class FileOptions:
    """How to read files; None or "auto": determined from the header and first rows of each file."""

    timestamp_column: str | None = None
    device_column: str | None = None
    value_column: str | None = None
    unit: Literal["Wh", "kWh", "MWh"] | None = None
    timezone: str = "UTC"
    device_ids: Literal["auto", "numeric", "external"] = "auto"
    # Not a part of the mapping: it decides whether the last line is loaded, not what it means.
    accept_last_line: bool = False


@dataclass(frozen=True)
class ColumnMapping:
    """Everything that decides how the bytes of a file become readings."""

    columns: Columns
    timezone: str
    device_ids: IdKind

    def key(self) -> str:
        """A text that is the same for the same mapping; a part of the source's name."""
        return json.dumps(asdict(self), sort_keys=True)

    def describe(self) -> str:
        """The mapping in words."""
        columns = self.columns
        return (
            f"time {columns.timestamp!r} ({self.timezone} unless it names a zone), meter {columns.device!r} "
            f"({self.device_ids} ids), energy {columns.value!r} in {columns.unit}"
        )


def decide_id_kind(rows: RawRows | None, columns: Columns, options: FileOptions, where: str) -> IdKind:
    """The kind of meter ids: as the options say, or as in the first rows. Raises SourceError when they are mixed."""
    if options.device_ids != "auto":
        return options.device_ids
    if rows is None:
        return "numeric"
    ids = pc.unique(parse_ids(rows.columns[columns.device]).values)
    return guess_kind(ids.to_pylist(), f"{where}, column {columns.device!r}")


def to_readings(rows: RawRows, mapping: ColumnMapping, meter_ids: MeterIds | None) -> tuple[pa.Table, list[Reject]]:
    """The readings in the rows, and the rows that are not readings, in the order of the file.

    ``meter_ids`` gives the numbers of external ids; it is not needed for numeric ids.
    """
    columns = mapping.columns
    times = parse_timestamps(rows.columns[columns.timestamp], mapping.timezone)
    energy = parse_energy(rows.columns[columns.value], columns.unit)
    ids = parse_ids(rows.columns[columns.device])
    numbers = ids.values
    if mapping.device_ids == "numeric":
        numbers = numeric_ids(ids.values)
        not_numeric = np.asarray(numbers.is_null()) & (ids.reasons == "")
        ids.reasons[not_numeric] = BAD_DEVICE_ID
    reasons = reasons_of(times, ids, energy)
    good = pa.array(reasons == "")
    numbers = numbers.filter(good)
    if mapping.device_ids == "external":
        assert meter_ids is not None
        numbers = meter_ids.device_ids(numbers)
    seconds = times.values.filter(good).cast(pa.int64()).cast(pa.timestamp("s", "UTC"))
    table = pa.Table.from_arrays([seconds, numbers, energy.values.filter(good)], schema=READING_SCHEMA)
    return table, _in_order(rows, reasons.tolist()) if table.num_rows < rows.records else []


def _in_order(rows: RawRows, reasons: Sequence[str]) -> list[Reject]:
    rejects = list(rows.malformed)
    for index, reason in enumerate(reasons):
        if reason:
            rejects.append(Reject(int(rows.places[index]), reason, rows.text_of(index)))
    return sorted(rejects, key=lambda reject: reject.place)
