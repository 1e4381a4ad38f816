"""Join the pieces of a file into windows, in which readings are sorted by time."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from iot_platform.readings.contract import READING_SCHEMA


def windows(pieces: Iterator[tuple[int, pa.Table]], size: int) -> Iterator[tuple[int, pa.Table]]:
    """Join the pieces of a file into windows: number of rows, and readings sorted by time.

    A window ends with the piece that brings it to ``size`` rows or more. Only the file's content decides where pieces
    end, so the windows are the same in each load. The positions of a window after its last reading stand for its
    rejected rows.
    """
    tables: list[pa.Table] = []
    records = 0
    for count, table in pieces:
        tables.append(table)
        records += count
        if records >= size:
            yield records, _sorted(tables)
            tables, records = [], 0
    if records:
        yield records, _sorted(tables)


def _sorted(tables: list[pa.Table]) -> pa.Table:
    table = pa.concat_tables(tables).combine_chunks() if tables else READING_SCHEMA.empty_table()
    tables.clear()
    times = table["timestamp"].cast(pa.int64())
    if table.num_rows < 2 or pc.all(pc.less_equal(times[:-1], times[1:])).as_py():
        return table
    # A stable sort keeps readings of the same time in the order of the file, so positions are the same in each load.
    return table.take(pc.sort_indices(times))
