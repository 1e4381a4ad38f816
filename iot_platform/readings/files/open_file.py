"""Open a file of readings. The first bytes, not the name, determine its format."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import IOBase
from pathlib import Path
from typing import BinaryIO, Literal, cast

import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError

from iot_platform.errors import PlatformError, SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.csv_header import HeaderHints
from iot_platform.readings.files.csv_rows import CsvRowSource
from iot_platform.readings.files.parquet_rows import ParquetRowSource
from iot_platform.readings.files.raw_rows import RowSource

AUTO = FileOptions()
PARQUET = b"PAR1"
Compression = Literal["gzip", "zstd"]
COMPRESSIONS: dict[bytes, Compression] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
CHUNK_BYTES = 1 << 20


def open_row_source(path: Path, options: FileOptions = AUTO) -> RowSource:
    """Open a CSV or Parquet file, uncompressed or compressed with gzip or zstd.

    A compressed Parquet file is unpacked to a temporary file first, because its metadata is in the footer. Raises
    SourceError when the file is neither CSV nor Parquet.
    """
    size = path.stat().st_size
    raw = path.open("rb")
    try:
        compression = next((name for magic, name in COMPRESSIONS.items() if _starts_with(raw, magic)), None)
        if compression is None:
            if _starts_with(raw, PARQUET):
                return ParquetRowSource(path, raw)
            return CsvRowSource(path, raw, raw.tell, size, _hints(options))
        if _unpacked_start(path, compression) == PARQUET:
            return ParquetRowSource(path, _to_temporary_file(_unpacked(raw, compression), path))
        return CsvRowSource(path, _unpacked(raw, compression), raw.tell, size, _hints(options))
    except BaseException:
        raw.close()
        raise


@contextmanager
def naming_errors(path: Path | str) -> Iterator[None]:
    """Whatever cannot be read in a file is a SourceError of that file: it does not keep others from being loaded."""
    try:
        yield
    except (PlatformError, ClickHouseError, OSError):
        raise
    except Exception as error:
        raise SourceError(f"{path}: cannot be read: {type(error).__name__}: {error}.") from error


def _hints(options: FileOptions) -> HeaderHints:
    time = options.timestamp_column or options.date_column or options.time_column
    return HeaderHints(options.encoding, time, options.value_column)


def _starts_with(file: BinaryIO, magic: bytes) -> bool:
    file.seek(0)
    start = file.read(len(magic))
    file.seek(0)
    return start == magic


def _unpacked(raw: BinaryIO, compression: Compression) -> BinaryIO:
    raw.seek(0)
    return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(cast(IOBase, raw), mode="r"), compression))


def _unpacked_start(path: Path, compression: Compression) -> bytes:
    # A separate file handle, because Arrow's stream closes the one that it is given.
    try:
        with path.open("rb") as raw:
            return _unpacked(raw, compression).read(len(PARQUET))
    except OSError as error:
        raise SourceError(f"{path}: cannot be unpacked: {error}.") from error


def _to_temporary_file(unpacked: BinaryIO, path: Path) -> BinaryIO:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the row source
    try:
        shutil.copyfileobj(unpacked, file, CHUNK_BYTES)
    except OSError as error:
        file.close()
        raise SourceError(f"{path}: cannot be unpacked: {error}.") from error
    file.seek(0)
    return cast(BinaryIO, file)
