"""Parse a block of a CSV file with Arrow, if every line is certainly one row."""

from __future__ import annotations

import io
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv as arrow_csv

from iot_platform.readings.files.csv_text import BOM
from iot_platform.readings.files.raw_rows import Column


def is_plain(block: bytes) -> bool:
    """Whether Arrow parses the block as the code here would.

    It does not for blank lines and lone carriage returns, which Arrow counts differently; for a BOM, which Arrow
    removes from each block; and for text that is not UTF-8, in which Arrow cannot report malformed rows.
    """
    if block.startswith(BOM):
        return False
    if block.count(b"\r") != block.count(b"\r\n") or block[:1] in b"\r\n" or b"\n\n" in block or b"\n\r\n" in block:
        return False
    try:
        return block.isascii() or bool(block.decode())
    except UnicodeDecodeError:
        return False


def read_by_arrow(block: bytes, delimiter: str, columns: int, wanted: list[int]) -> tuple[pa.Table, list[int]] | None:
    """The wanted columns as bytes, named by their number, and the indexes of malformed rows; None: Arrow failed."""
    malformed: list[int] = []

    def skip(row: arrow_csv.InvalidRow) -> Literal["skip"]:
        malformed.append((row.number or 0) - 1)
        return "skip"

    try:
        table = arrow_csv.read_csv(
            io.BytesIO(block),
            # Arrow numbers malformed rows only with one thread and one block.
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=len(block) + 1, column_names=[str(index) for index in range(columns)]
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=skip
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=[str(index) for index in wanted],
                column_types={str(index): pa.binary() for index in wanted},
                check_utf8=False,
            ),
        )
    except pa.ArrowException:
        return None
    return table.combine_chunks(), malformed


class LazyLines:
    """The lines of a block. They are split when the first one is needed, because rejects are rare."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._lines: list[bytes] | None = None

    def text(self, index: int) -> str:
        """One line, as it is reported."""
        if self._lines is None:
            self._lines = self._block.split(b"\n")
        return shown(self._lines[index])


def shown(record: bytes) -> str:
    """The text of a record, as it is reported."""
    return record.rstrip(b"\r").decode(errors="backslashreplace")


def one_chunk(column: pa.ChunkedArray[Any]) -> Column:
    """A column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
