"""What a file is: its format, how that was recognised, and what the format itself says about all rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from iot_platform.readings.files.columns import Header

# The values of --format. "auto": recognised by the content.
FORMATS = ("auto", "csv", "parquet", "xlsx", "xls", "ods", "ndjson", "nem12", "nem13", "espi")


@dataclass(frozen=True)
class MadeColumns:
    """Columns that were made from those of a file. ``device``: None if the meter is in one of the file's own columns.

    ``is_end``: the time is the end of the interval.
    """

    timestamp: str
    value: str
    device: str | None = None
    is_end: bool = False


@dataclass(frozen=True)
class FileFormat:
    """The format of an open file.

    ``key``: the text by which it is a part of the source's name; "" for CSV and Parquet, whose sources had names before
    there were other formats. ``header``: the columns and conventions, if the format decides them and not the file;
    ``made``: those of its columns that were made by the reader of a wide file. ``time_zone``: what to show, if the
    format (or its reader) has applied a zone. ``counts`` and ``remarks``: what deserves a look; complete when all rows
    were read.
    """

    name: str
    recognised_by: str
    key: str = ""
    header: Header | None = None
    made: MadeColumns | None = None
    time_zone: str = ""
    time_zone_from: str = "known format"
    counts: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """What deserves a look, in words."""
        return [*self.remarks, *(f"{count:,} {what}" for what, count in self.counts.items())]
