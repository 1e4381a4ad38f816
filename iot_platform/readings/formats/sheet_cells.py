"""Cells of a spreadsheet as text and as columns. Cells have types, so that no format has to be guessed for them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TypeAlias

import pyarrow as pa

from iot_platform.readings.files.raw_rows import Column

Cell: TypeAlias = int | float | str | bool | dt.time | dt.date | dt.datetime | dt.timedelta
# Spreadsheets keep 15 digits: of a longer id the rest is lost.
MOST_DIGITS = 15


def cell_text(cell: Cell) -> str:
    """A cell as text: numbers as short as possible, times in ISO 8601 to the second.

    A number that a spreadsheet has cut (an id of 16 digits) is written in scientific notation, as it shows it: such ids
    are refused.
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, int | float):
        if abs(cell) >= 10**MOST_DIGITS:
            return f"{cell:.{MOST_DIGITS - 1}E}"
        return str(int(cell)) if cell == int(cell) else repr(cell)
    if isinstance(cell, dt.datetime):
        return _rounded(cell).isoformat(sep=" ")
    if isinstance(cell, dt.timedelta):
        seconds = round(cell.total_seconds())
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if isinstance(cell, dt.time):
        cell = _rounded(dt.datetime.combine(dt.date(2000, 1, 1), cell)).time()
    return cell.isoformat()


def column_of(cells: Sequence[Cell]) -> Column:
    """Cells as a column: local times if all of them are, else texts. Blank cells are NULL.

    Numbers are texts as well: what an id means must not depend on its neighbours.
    """
    values = [None if isinstance(cell, str) and not cell.strip() else cell for cell in cells]
    kinds = {type(value) for value in values} - {type(None)}
    if dt.datetime in kinds and kinds <= {dt.datetime, dt.date}:
        return pa.array([None if value is None else _time(value) for value in values], pa.timestamp("s"))
    return pa.array([None if value is None else cell_text(value) for value in values], pa.string())


def _time(value: Cell) -> dt.datetime:
    """A time or, at midnight, a date."""
    if isinstance(value, dt.datetime):
        return _rounded(value)
    assert isinstance(value, dt.date)
    return dt.datetime.combine(value, dt.time())


def _rounded(time: dt.datetime) -> dt.datetime:
    """To the second: a spreadsheet keeps times as fractions of a day."""
    return (time + dt.timedelta(microseconds=500_000)).replace(microsecond=0)
