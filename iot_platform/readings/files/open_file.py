"""Open a file of readings. Its content, not its name, determines its format, unless the format is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clickhouse_connect.driver.exceptions import ClickHouseError

from iot_platform.errors import PlatformError, SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.content import Content
from iot_platform.readings.files.csv_header import HeaderHints
from iot_platform.readings.files.csv_rows import CsvRowSource
from iot_platform.readings.files.input_file import InputFile
from iot_platform.readings.files.parquet_rows import ParquetRowSource
from iot_platform.readings.files.raw_rows import RowSource
from iot_platform.readings.formats.format_options import refuse_options
from iot_platform.readings.formats.recognition import NotReadingsError, Recognised, kind_of_zip, recognise
from iot_platform.readings.formats.wide import made_long

AUTO = FileOptions()
WORKBOOKS = ("xlsx", "xls", "ods")
NEM13 = (
    "it is a NEM13 file: register reads, months apart, with the energy between them in one number. The platform stores "
    "the energy of short intervals. Ask for the interval data (NEM12)."
)


def open_row_source(file: Path | InputFile, options: FileOptions = AUTO) -> RowSource:
    """Open a file of any format in file_format.FORMATS, uncompressed or compressed with gzip, zstd, bz2 or xz.

    What is read by random access is unpacked to a temporary file first. Raises SourceError when the file is of no such
    format: the message says what it looks like.
    """
    known = InputFile.of(file)
    content = Content(known.path, known.shown)
    with _of_file(known):
        found = _recognise(content) if options.format == "auto" else Recognised(options.format, "given")
        source = _open(content, found, options)
        try:
            return made_long(source, options, lambda: _open(content, found, options))
        except BaseException:
            source.close()
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


def _recognise(content: Content) -> Recognised:
    found = recognise(content.start, content.end)
    if found.format != "zip":
        return found
    with content.seekable() as file:
        found = kind_of_zip(file)
    if found.format == "zip":
        raise NotReadingsError(
            "it is a zip archive in another archive, or not unpacked. Unpack it, and load its files."
        )
    return found


def _open(content: Content, found: Recognised, options: FileOptions) -> RowSource:
    """Open a file as the format that was found. Formats are imported when they are needed: most files are CSV."""
    refuse_options(found.format, found.by, options)
    if found.format == "parquet":
        return ParquetRowSource(content.shown, content.seekable(), found.by)
    if found.format in WORKBOOKS:
        from iot_platform.readings.formats.spreadsheets import SheetRowSource

        return SheetRowSource(content.shown, content.seekable(), found.format, found.by, options)
    if found.format == "espi":
        from iot_platform.readings.formats.espi import EspiRowSource

        return EspiRowSource(content, found.by, options)
    if found.format == "nem13":
        raise NotReadingsError(NEM13)
    stream = content.stream()
    try:
        if found.format == "nem12":
            from iot_platform.readings.formats.nem12 import Nem12RowSource

            return Nem12RowSource(stream, found.by, options)
        if found.format == "ndjson":
            from iot_platform.readings.formats.ndjson import NdjsonRowSource

            return NdjsonRowSource(stream, found.by)
        time = options.timestamp_column or options.date_column or options.time_column
        hints = HeaderHints(options.encoding, time, options.value_column)
        return CsvRowSource(content.shown, stream.file, stream.position, stream.size_bytes, hints, found.by)
    except BaseException:
        stream.close()
        raise


@contextmanager
def _of_file(file: InputFile) -> Iterator[None]:
    """Name the file in each SourceError that does not name it."""
    try:
        yield
    except SourceError as error:
        shown = str(file.shown)
        raise SourceError(str(error) if str(error).startswith(shown) else f"{shown}: {error}") from error
