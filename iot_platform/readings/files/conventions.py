"""What the numbers and times of a file mean, beside its columns."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import pyarrow as pa
from pyarrow import compute

from iot_platform.readings.files.csv_text import name_of_encoding
from iot_platform.readings.files.decimals import Decimal, describe_decimal
from iot_platform.readings.files.raw_rows import Column
from iot_platform.readings.files.time_formats import TimeFormat

# pyarrow's type stubs need the type of each array, which depends on the file.
pc: Any = compute


@dataclass(frozen=True)
class Conventions:
    """The conventions of a file. The defaults are the usual ones.

    ``interval_s``: the interval of all meters, 0 if it is not needed; ``intervals``: meters and their intervals, if
    they differ. ``repeated_hours``: the hour that clocks repeat is told apart by the order of the rows. ``encoding``:
    that of a text; "" for UTF-8. ``row_encoding``: the same, if the text is not decoded when it is read as rows: then
    texts that are not UTF-8 are in this encoding. (It says how, not what: it is no part of a source's name.)
    """

    stamp: Literal["start", "end"] = "start"
    interval_s: int = 0
    intervals: tuple[tuple[str, int], ...] = ()
    time_format: TimeFormat = ""
    decimal: Decimal = "."
    is_register: bool = False
    repeated_hours: bool = False
    encoding: str = ""
    row_encoding: str = ""

    def unusual(self) -> dict[str, Any]:
        """The conventions that differ from the defaults."""
        named = [field for field in fields(self) if field.name != "row_encoding"]
        values = {field.name: (getattr(self, field.name), field.default) for field in named}
        return {name: value for name, (value, default) in values.items() if value != default}

    def describe(self) -> str:
        """The unusual conventions in words, to be appended to a list."""
        words = []
        if self.interval_s or self.intervals:
            words.append(
                f"intervals of {interval_in_words(self.interval_s)}" if self.interval_s else "several intervals"
            )
        if self.stamp == "end":
            words.append("times are the end of the interval")
        if self.time_format:
            words.append(f"times {self.time_format}")
        if self.decimal != ".":
            words.append(f"decimal {describe_decimal(self.decimal)}")
        if self.encoding:
            words.append(f"text in {name_of_encoding(self.encoding)}")
        return "".join(f", {word}" for word in words)

    def interval_of(self, ids: Column) -> Column:
        """The interval of each row in seconds (int64), by its meter."""
        if not self.intervals:
            return pa.array([self.interval_s], pa.int64()).take(pa.array([0] * len(ids), pa.int8()))
        names, seconds = zip(*self.intervals, strict=True)
        return pa.array(seconds, pa.int64()).take(pc.index_in(ids, pa.array(names, pa.string())))


def interval_in_words(seconds: int) -> str:
    """Such as "30 min"."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
