"""Read the rows of a file without a database."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iot_platform.readings.files.column_mapping import ColumnMapping, FileOptions, convert
from iot_platform.readings.files.file_format import FileFormat
from iot_platform.readings.files.input_file import InputFile
from iot_platform.readings.files.inspected import Inspected
from iot_platform.readings.files.inspection import inspect_file
from iot_platform.readings.files.open_readings import open_readings
from iot_platform.readings.files.parsing import reasons_of


@dataclass
class Rows:
    """Readings (UTC second, meter, kWh), rejects (place, reason), the place of each reading, and the format."""

    readings: list[tuple[int, str, float]]
    rejects: list[tuple[int, str]]
    places: list[int]
    format: FileFormat


def rows_of(path: Path, **options: Any) -> Rows:
    """All rows of a file, converted with the usual conventions."""
    chosen = FileOptions(**options)
    found = Rows([], [], [], FileFormat("", ""))
    opened = open_readings(path, chosen)
    with closing(opened.source) as source:
        header = opened.header(chosen)
        mapping = ColumnMapping(header.columns, chosen.timezone or "UTC", "auto")
        for rows in source.rows(header.columns.names):
            times, ids, energy = convert(rows, mapping)
            found.rejects += [(reject.place, reject.reason) for reject in rows.malformed]
            reasons = reasons_of(times, ids, energy).tolist()
            columns = (times.values.to_pylist(), ids.values.to_pylist(), energy.values.to_pylist())
            for place, reason, *reading in zip(rows.places.tolist(), reasons, *columns, strict=True):
                if reason:
                    found.rejects.append((place, reason))
                else:
                    found.readings.append((reading[0], reading[1], reading[2]))
                    found.places.append(place)
        found.format = source.format
    return found


def inspect(path: Path, **options: Any) -> Inspected:
    """The result of the inspection of a file, without what a database knows of its meters."""
    chosen = FileOptions(**options)
    opened = open_readings(path, chosen)
    with closing(opened.source) as source:
        header = opened.header(chosen)
        mapping = ColumnMapping(header.columns, chosen.timezone or "UTC", "auto", format=source.format.key)
    return inspect_file(InputFile.of(path), mapping, header, chosen)
