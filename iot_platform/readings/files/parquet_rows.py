"""Rows of a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from iot_platform.errors import SourceError
from iot_platform.readings.files.file_format import FileFormat
from iot_platform.readings.files.raw_rows import PlainSource, RawRows

# Not a setting: the kind of meter ids is decided by the first rows, and must not depend on a setting.
ROWS_AT_ONCE = 250_000


class ParquetRowSource(PlainSource):
    """A Parquet file, read a bounded number of rows at a time. Raises SourceError when it is damaged."""

    place_name = "row"

    def __init__(self, path: Path, file: BinaryIO, recognised_by: str) -> None:
        self.format = FileFormat("Parquet", recognised_by)
        self._path = path
        self._file = file
        self._rows_read = 0
        try:
            # Without pre-buffering only the pages that are being read are in memory, instead of a whole row group.
            self._parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{path}: not a readable Parquet file: {error}.") from error

    @property
    def column_names(self) -> list[str]:
        """The header of the file."""
        return [str(name) for name in self._parquet.schema_arrow.names]

    def rows(self, columns: list[str]) -> Iterator[RawRows]:
        """All rows of the file; places are row numbers, counted from 1."""
        try:
            for batch in self._parquet.iter_batches(ROWS_AT_ONCE, columns=columns, use_threads=False):
                places = np.arange(self._rows_read + 1, self._rows_read + batch.num_rows + 1, dtype=np.int64)
                self._rows_read += batch.num_rows
                yield RawRows(
                    columns={name: batch.column(name) for name in columns},
                    places=places,
                    text_of=partial(_text, batch),
                )
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{self._path}, after row {self._rows_read}: cannot be read: {error}.") from error

    def progress(self) -> float:
        """Share of the file that has been read, from 0 to 1."""
        return self._rows_read / max(1, self._parquet.metadata.num_rows)

    def close(self) -> None:
        """Close the file."""
        self._parquet.close()
        self._file.close()


def _text(batch: pa.RecordBatch, index: int) -> str:
    try:
        return str(batch.slice(index, 1).to_pylist()[0])
    except (ValueError, OverflowError):  # a time outside the range of Python's datetime
        return str(batch.slice(index, 1))
