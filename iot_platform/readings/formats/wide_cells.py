"""Cells of wide rows: which ones hold a value, and where a value came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from iot_platform.readings.files.parsing import MISSING
from iot_platform.readings.files.raw_rows import Column, RawRows

pc: Any = compute

# A column of cells, and for each cell why it cannot be decoded, or "".
Decoded = tuple[Column, npt.NDArray[np.object_]]


class CellTexts:
    """The text of each value: the name of its column, and its row."""

    def __init__(
        self, rows: RawRows, row: npt.NDArray[np.int64], column: npt.NDArray[np.int64], names: Sequence[str]
    ) -> None:
        self._rows, self._row, self._column, self._names = rows, row, column, names

    def text(self, index: int) -> str:
        """The text of the value with this index."""
        return f"{self._names[self._column[index]]} of {self._rows.text_of(int(self._row[index]))}"


def filled_cells(cells: Sequence[Decoded]) -> npt.NDArray[np.bool_]:
    """Which cells are not blank (one row for each row). What cannot be decoded is not blank: it will be rejected."""
    return np.stack([_is_filled(column) | (reasons != "") for column, reasons in cells], axis=1)


def joined(columns: list[Column]) -> Column:
    """Columns one after the other; of one type, or as text."""
    kinds = {column.type for column in columns}
    if kinds == {pa.int64(), pa.float64()}:
        columns = [column.cast(pa.float64()) for column in columns]
    elif len(kinds) > 1:
        columns = [column.cast(pa.string()) for column in columns]
    return pa.concat_arrays(columns)


def _is_filled(cells: Column) -> npt.NDArray[np.bool_]:
    filled = cells.is_valid()
    if pa.types.is_string(cells.type):
        texts = pc.utf8_lower(pc.utf8_trim_whitespace(cells))
        filled = pc.and_(filled, pc.invert(pc.fill_null(pc.is_in(texts, pa.array(MISSING)), True)))
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=bool)
