"""One pass over a file: what its times, values and meters look like. Memory is bounded by the number of meters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from iot_platform.devices.meter_ids import normalized, refuse_scientific
from iot_platform.readings.files.column_mapping import ColumnMapping
from iot_platform.readings.files.daylight_saving import HoursOfFile
from iot_platform.readings.files.decimals import NumberForms
from iot_platform.readings.files.encodings import TextForms
from iot_platform.readings.files.kept_rows import KeptRows
from iot_platform.readings.files.last_line import LastRow
from iot_platform.readings.files.local_times import TWICE, RepeatedHourRows, RepeatedHours
from iot_platform.readings.files.midnights import Midnights
from iot_platform.readings.files.parsing import decoded, parse_energy, parse_ids, parse_timestamps
from iot_platform.readings.files.raw_rows import Column, Fact, RawRows
from iot_platform.readings.files.registers import RegisterReader, readings_table
from iot_platform.readings.files.series import MeterSeries
from iot_platform.readings.files.time_formats import to_iso
from iot_platform.readings.files.time_forms import TimeForms
from iot_platform.readings.files.units import to_base
from iot_platform.readings.files.written_times import AT_0, AT_24

# pyarrow's type stubs need the type of each array, which depends on the file.
pc: Any = compute

_LOCAL_TIME = r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9:.]*)?\s*$"


@dataclass
class FilePass:
    """Collects what the pieces of a file contain, read with a mapping.

    Values are in the unit of the file, but for those of a register: its rules are in kWh.
    """

    mapping: ColumnMapping
    unit_column: str | None
    repeated_hours: RepeatedHours | None
    place_name: str = "row"
    rows: int = 0
    readable: int = 0
    first: int = 2**32
    last: int = -1
    has_local_times: bool = False
    last_row: LastRow | None = None
    last_rows: RawRows | None = None
    time_forms: TimeForms = field(default_factory=TimeForms)
    number_forms: NumberForms = field(default_factory=NumberForms)
    text_forms: TextForms = field(default_factory=TextForms)
    at_0: int = 0
    at_24: int = 0
    repeats: int = 0
    series: MeterSeries = field(default_factory=MeterSeries)
    hours: HoursOfFile = field(default_factory=HoursOfFile)
    twice: RepeatedHourRows = field(default_factory=RepeatedHourRows)
    units: Counter[str] = field(default_factory=Counter)
    first_rows: RawRows | None = None
    facts: Sequence[Fact] = ()
    register: RegisterReader | None = None
    register_total_kWh: float = 0.0
    # The number of falls to a negative energy; meter and start of the first one.
    register_fall: tuple[int, int, int] | None = None
    kept: KeptRows = field(default_factory=KeptRows)
    # Of files with the date and the time in two columns.
    midnights: Midnights | None = None

    @property
    def may_be_cut(self) -> bool:
        """Whether the last line may be incomplete."""
        return self.last_row is not None and self.last_row.may_be_cut

    def add(self, rows: RawRows, where: Callable[[int], str]) -> None:
        """Add a piece of the file. Raises SourceError for ids in scientific notation; ``where`` names a row's place."""
        self.rows += rows.records
        self.last_rows = rows
        if not len(rows.places):
            self.kept.add_malformed(rows)
            return
        self.first_rows = self.first_rows or rows
        columns, conventions = self.mapping.columns, self.mapping.conventions
        encoding = conventions.row_encoding
        column, values = (_text(rows.columns[name], encoding) for name in (columns.timestamp, columns.value))
        self.text_forms.add(*(rows.columns[name] for name in columns.names))
        self.time_forms.add(column)
        self.number_forms.add(values)
        if self.unit_column is not None:
            self._add_units(rows.columns[self.unit_column])
        self.has_local_times = self.has_local_times or _has_local_times(
            to_iso(column, conventions.time_format) if conventions.time_format else column
        )
        times = parse_timestamps(column, self.mapping.timezone, conventions.time_format)
        if self.repeated_hours is not None:
            times.values = self.repeated_hours.fill(rows.places, times.values, times.reasons)
        energy = parse_energy(values, "kWh", conventions.decimal)
        self._add_unread(column, times.values, values, energy.values)
        ids = self._ids(rows, where)
        meters = self._meters(ids)
        if times.values.null_count:
            self._add_repeated_hours(rows, column, times.reasons, meters)
        good = _as_numpy(pc.and_(times.values.is_valid(), energy.values.is_valid())) & (meters >= 0)
        self.kept.add(rows, good, (times.values, ids, energy.values), self.mapping, self.repeated_hours)
        seconds = times.values.to_numpy(zero_copy_only=False)[good].astype(np.int64)
        numbers = energy.values.to_numpy(zero_copy_only=False)[good]
        if not len(seconds):
            return
        self.readable += len(seconds)
        self.first, self.last = min(self.first, int(seconds.min())), max(self.last, int(seconds.max()))
        repeated = self.series.add(meters[good], seconds, numbers)
        self.repeats += len(repeated)
        if self.midnights is not None:
            self.midnights.add(meters[good], _local(seconds, self.mapping.timezone), rows.places[good])
        if self.has_local_times:
            self.hours.add(seconds, repeated)
        if self.register is not None:
            in_kWh = np.asarray(to_base(pa.array(numbers), columns.unit))
            intervals = self.register.intervals(readings_table(seconds, meters[good], in_kWh))
            energies = intervals["power_usage_kWh"].to_numpy()
            self.register_total_kWh += float(energies[np.isfinite(energies)].sum())
            self._note_falls(intervals, energies)

    def _note_falls(self, intervals: pa.Table, energies: npt.NDArray[np.float64]) -> None:
        """Count the intervals of a register that are negative, and keep the first one."""
        falls = np.flatnonzero(energies < 0)
        if len(falls):
            first = intervals.slice(int(falls[0]), 1)
            meter, second = first["device_id"][0].as_py(), first["timestamp"].cast(pa.int64())[0].as_py()
            count, *place = self.register_fall or (0, meter, second)
            self.register_fall = (count + len(falls), place[0], place[1])

    def _add_unread(self, column: Column, times: Column, values: Column, energy: Column) -> None:
        if times.null_count:
            self.time_forms.add_unread(column.filter(times.is_null()))
        if energy.null_count:
            self.number_forms.add_unread(values.filter(energy.is_null()))
        if self.mapping.conventions.time_format and pa.types.is_string(column.type):
            self.at_0 += _count(column, ":00", AT_0) if not self.at_0 else 0
            self.at_24 += _count(column, "24:00", AT_24)

    def _ids(self, rows: RawRows, where: Callable[[int], str]) -> Column:
        """The id of each row as text, encoded as a dictionary."""
        column = rows.columns[self.mapping.columns.device]
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        ids = parse_ids(encoded.dictionary, encoding=self.mapping.conventions.row_encoding).values
        # A dictionary of Parquet may have texts that these rows do not have.
        used = encoded.indices.drop_null().unique()
        refuse_scientific(
            ids.take(used), lambda index: where(int(rows.places[pc.index(encoded.indices, used[index]).as_py()]))
        )
        return pa.DictionaryArray.from_arrays(encoded.indices, ids)

    def _meters(self, ids: Column) -> npt.NDArray[np.int64]:
        """The number of each row's meter in ``series``; -1: none."""
        names = normalized(ids.dictionary).to_pylist()
        known = [name for name in names if name is not None]
        # The last one, which index -1 finds, is for rows without an id.
        codes = np.full(len(names) + 1, -1, dtype=np.int64)
        codes[[index for index, name in enumerate(names) if name is not None]] = self.series.codes(known)
        return np.asarray(codes[ids.indices.fill_null(-1).to_numpy(zero_copy_only=False)])

    def _add_units(self, column: Column) -> None:
        for pair in pc.value_counts(_text(column).cast(pa.string()).drop_null()).to_pylist():
            if pair["values"].strip():
                self.units[pair["values"].strip()] += pair["counts"]

    def _add_repeated_hours(
        self, rows: RawRows, column: Column, reasons: npt.NDArray[np.object_], meters: npt.NDArray[np.int64]
    ) -> None:
        found = np.flatnonzero((reasons == TWICE) & (meters >= 0))
        if len(found):
            names = self.series.names
            local = parse_timestamps(column.take(pa.array(found)), "UTC", self.mapping.conventions.time_format)
            for index, second in zip(found.tolist(), local.values.to_pylist(), strict=True):
                self.twice.add(names[meters[index]], second, int(rows.places[index]))


def _text(column: Column, encoding: str = "") -> Column:
    """The column; text is decoded."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column
    return decoded(column, encoding)[0]


def _count(texts: Column, part: str, pattern: str) -> int:
    """The number of texts that match a pattern; all of them contain ``part``."""
    found = texts.filter(pc.fill_null(pc.match_substring(texts, part), False))
    return int(pc.sum(pc.match_substring_regex(found, pattern), min_count=0).as_py())


def _has_local_times(column: Column) -> bool:
    """Whether a column contains times without a zone."""
    if pa.types.is_timestamp(column.type):
        return column.type.tz is None and column.null_count < len(column)
    if pa.types.is_string(column.type):
        return bool(pc.any(pc.match_substring_regex(column, _LOCAL_TIME), min_count=0).as_py())
    return bool(pa.types.is_date(column.type))


def _local(seconds: npt.NDArray[np.int64], timezone: str) -> npt.NDArray[np.int64]:
    """UTC seconds as those that a clock in a zone shows."""
    times = pa.array(seconds).cast(pa.timestamp("s", timezone))
    return np.asarray(pc.local_timestamp(times).cast(pa.int64()))


def _as_numpy(mask: Column) -> npt.NDArray[np.bool_]:
    return np.asarray(mask.to_numpy(zero_copy_only=False), dtype=bool)
