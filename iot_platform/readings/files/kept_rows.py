"""The rows that an inspection has parsed, kept for the load that follows, if they are few enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from iot_platform.devices.meter_ids import MeterIds
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.files.column_mapping import ColumnMapping, apply_interval, convert, in_order
from iot_platform.readings.files.local_times import RepeatedHours
from iot_platform.readings.files.parsing import Parsed, reasons_of
from iot_platform.readings.files.raw_rows import Column, RawRows, Reject
from iot_platform.readings.files.units import to_base

# pyarrow's type stubs need the type of each array, which depends on the file.
pc: Any = compute

# A kept row takes 16 bytes.
MOST_ROWS = 4_000_000
# Their texts are kept as well.
MOST_REJECTS = 10_000


@dataclass(frozen=True)
class _Piece:
    """``seconds`` and ``values`` as in the file; ``ids``: the texts that the readings have."""

    records: int
    seconds: pa.UInt32Array
    ids: Column
    values: pa.DoubleArray
    rejects: list[Reject]


@dataclass
class KeptRows:
    """Keeps the readings of a pass over a file, and the rows that are none, piece by piece.

    ``is_complete``: False if there were too many, or if they cannot be told apart without reading the file again.
    """

    is_complete: bool = True
    rows: int = 0
    _pieces: list[_Piece] = field(default_factory=list)
    _first: int = 2**32
    _rejects: int = 0

    def add(
        self,
        rows: RawRows,
        good: npt.NDArray[np.bool_],
        columns: tuple[Column, Column, Column],
        mapping: ColumnMapping,
        repeated_hours: RepeatedHours | None,
    ) -> None:
        """Add a piece. ``columns``: UTC seconds, ids (encoded as a dictionary) and values; ``good``: the readings."""
        rejects = _rejects(rows, ~good, mapping, repeated_hours) if self.is_complete else None
        if rejects is None:
            self.drop()
            return
        seconds, ids, values = columns if good.all() else (column.filter(pa.array(good)) for column in columns)
        if len(seconds):
            self._first = min(self._first, pc.min(seconds).as_py())
        self._append(_Piece(rows.records, seconds, _compact(ids), values, rejects))

    def add_malformed(self, rows: RawRows) -> None:
        """Add a piece without any row that fits the columns."""
        no_ids = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), pa.array([], pa.string()))
        no_times, no_values = pa.array([], pa.uint32()), pa.array([], pa.float64())
        self._append(_Piece(rows.records, no_times, no_ids, no_values, rows.malformed))

    def drop(self) -> None:
        """Keep nothing: the file is read again."""
        self.is_complete = False
        self._pieces.clear()

    def fits(self, mapping: ColumnMapping) -> bool:
        """Whether the rows are all there, and mean with this mapping what they mean when the file is read again."""
        conventions = mapping.conventions
        longest = max([conventions.interval_s, *(seconds for _, seconds in conventions.intervals)])
        is_before_1970 = conventions.stamp == "end" and self._first < longest
        return self.is_complete and mapping.device_ids != "numeric" and not mapping.by_older_rule and not is_before_1970

    def ids(self) -> list[Column]:
        """The ids of the readings, as texts; most of them are in several of the arrays."""
        return [piece.ids.dictionary for piece in self._pieces]

    def pieces(self, mapping: ColumnMapping, meter_ids: MeterIds) -> Iterator[tuple[int, pa.Table, list[Reject], bool]]:
        """Number of rows, readings and rejects of each piece, as ``to_readings`` would return them, and whether it is
        the last; only once."""
        while self._pieces:
            piece = self._pieces.pop(0)
            times = Parsed(piece.seconds, np.empty(len(piece.seconds), dtype=object))
            energy = Parsed(to_base(piece.values, mapping.columns.unit), times.reasons)
            apply_interval(times, partial(piece.ids.cast, pa.string()), energy, mapping)
            numbers = meter_ids.device_ids(piece.ids.dictionary).take(piece.ids.indices)
            seconds = times.values.cast(pa.int64()).cast(pa.timestamp("s", "UTC"))
            readings = pa.Table.from_arrays([seconds, numbers, energy.values], schema=READING_SCHEMA)
            yield piece.records, readings, piece.rejects, not self._pieces

    def _append(self, piece: _Piece) -> None:
        self.rows += piece.records
        self._rejects += len(piece.rejects)
        if not self.is_complete or self.rows > MOST_ROWS or self._rejects > MOST_REJECTS:
            self.drop()
        else:
            self._pieces.append(piece)


def _rejects(
    rows: RawRows, bad: npt.NDArray[np.bool_], mapping: ColumnMapping, repeated_hours: RepeatedHours | None
) -> list[Reject] | None:
    """The rows that are no readings; None if the reason of one is not known, or there are too many."""
    indexes = np.flatnonzero(bad)
    if not len(indexes):
        return rows.malformed
    if len(indexes) > MOST_REJECTS:
        return None
    chosen = pa.array(indexes)
    taken = RawRows(
        columns={name: column.take(chosen) for name, column in rows.columns.items()},
        places=rows.places[indexes],
        malformed=rows.malformed,
        text_of=lambda row: rows.text_of(int(indexes[row])),
    )
    reasons = reasons_of(*convert(taken, mapping, repeated_hours))
    return in_order(taken, reasons.tolist()) if (reasons != "").all() else None


def _compact(ids: Column) -> Column:
    """The same ids, with a dictionary that has no others: a name is registered only for readings."""
    codes = ids.indices.to_numpy(zero_copy_only=False)
    used = np.flatnonzero(np.bincount(codes, minlength=len(ids.dictionary))) if len(codes) else np.empty(0, np.int64)
    numbers = np.zeros(len(ids.dictionary), dtype=np.int32)
    numbers[used] = np.arange(len(used), dtype=np.int32)
    return pa.DictionaryArray.from_arrays(numbers[codes], ids.dictionary.take(pa.array(used, pa.int64())))
