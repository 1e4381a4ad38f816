"""NEM12: interval readings of the Australian electricity market.

Written after AEMO's "Meter Data File Format Specification NEM12 & NEM13", version 2.4 (October 2021). The package
nemreader was tried first (0.9.2): it keeps a whole file in memory, knows no line numbers, and skips a damaged record
with a message to its log.

A record 200 names a meter's channel, its unit and its interval; a record 300 has the values of a day; records 400 give
the quality of intervals where it varies (V). Times are NEM time (UTC+10, all year): the first value of a day is that of
the interval from 00:00 on. The rules:

- The channels E1, E2 ... are consumption. E1 is the meter NMI, E2 the meter NMI-E2, whatever else a file contains.
  Others (B: export, K and Q: reactive ...) are not usage: they are left out, and counted.
- Quality N (no value) and V without a record 400 are rejected. Substituted and estimated values are read, and counted.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from zoneinfo import ZoneInfo

import pyarrow as pa

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.content import Stream, numbered_lines
from iot_platform.readings.files.file_format import FileFormat
from iot_platform.readings.files.parsing import parse_energy
from iot_platform.readings.files.raw_rows import PlainSource, RawRows, Reject
from iot_platform.readings.files.units import find_unit
from iot_platform.readings.formats.typed_rows import NAMES, TypedRows, known_header

NEM_TIME = "Etc/GMT-10"  # UTC+10: POSIX counts the other way round
DAY_S, DAY_MIN = 86400, 1440
LAST_DAY = dt.date(2106, 1, 1)
CONSUMPTION = "E"
CHANNELS = {
    **dict.fromkeys("BC", "export"),
    **dict.fromkeys("F", "a check meter"),
    **dict.fromkeys("KLQRJP", "reactive energy"),
    **dict.fromkeys("STU", "apparent energy"),
    **dict.fromkeys("AD", "average or net energy"),
}
QUALITIES = {"S": "substituted", "F": "finally substituted", "E": "estimated"}
NULL, VARIES = "N", "V"
DATE = re.compile(r"[0-9]{8}")
QUALITY = re.compile(r"[AEFNSVaefnsv][0-9]{0,2}")


@dataclass(frozen=True)
class _Channel:
    """A record 200. ``reason``: why its days cannot be read, or ""."""

    meter: str
    suffix: str
    unit: str
    interval_min: int
    reason: str = ""


@dataclass
class _Day:
    """A record 300 of consumption, with the qualities of its intervals."""

    line: int
    text: str
    channel: _Channel
    start: int
    values: list[str]
    qualities: list[str] = field(default_factory=list)


class Nem12RowSource(PlainSource):
    """A NEM12 file: each interval is a row, and its place is the line of its record 300."""

    place_name = "line"
    column_names = NAMES

    def __init__(self, stream: Stream, recognised_by: str, options: FileOptions) -> None:
        self._stream = stream
        self._unit = options.unit
        self._is_overridden = bool(options.unit) and options.override_unit
        self._zone = options.timezone or NEM_TIME
        self.format = FileFormat(
            "NEM12",
            recognised_by,
            key=f"nem12 in {options.unit}" if self._is_overridden else "nem12",
            header=known_header(),
            time_zone=options.timezone or "NEM time (UTC+10)",
            time_zone_from="given" if options.timezone else "known format",
        )

    def rows(self, columns: list[str]) -> Iterator[RawRows]:
        """All intervals of consumption."""
        rows = TypedRows()
        has_rows = False
        for day in self._days(rows):
            if day is not None:
                self._add(day, rows)
            has_rows = has_rows or not rows.is_empty
            if rows.is_full:
                yield rows.piece()
        if not has_rows:
            left_out = " ".join(self.format.notes())
            raise SourceError(f"{self._stream.path}: no record 300 of NEM12 is consumption (channels E). {left_out}")
        yield rows.piece()

    def progress(self) -> float:
        """Share of the file that has been read, from 0 to 1."""
        return self._stream.progress()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _days(self, rows: TypedRows) -> Iterator[_Day | None]:
        """The days of consumption, when their records 400 were read; None after others. Rejects are in ``rows``."""
        channel: _Channel | None = None
        day: _Day | None = None
        last = ""
        for line, text in numbered_lines(self._stream):
            record = _fields(text)
            kind = record[0] if record else ""
            if kind in ("", "400", "500"):
                if kind == "400" and day is not None:
                    _set_quality(day, record)
                continue
            yield day
            day, last = None, kind
            if kind == "200":
                channel = self._channel(record, line)
            elif kind == "300":
                day = self._day(record, line, text, channel, rows)
            elif kind not in ("100", "900"):
                rows.rejects.append(Reject(line, "no_record_of_nem12", _shown(text)))
        yield day
        if last != "900":
            self.format.remarks.append("There is no record 900 at the end: the file may be cut off.")

    def _channel(self, record: list[str], line: int) -> _Channel:
        record = [*record, *[""] * 10]
        nmi, suffix, unit, interval = record[1], record[4].upper(), record[7], record[8]
        meter = nmi if suffix == "E1" else f"{nmi}-{suffix}"
        if not suffix.startswith(CONSUMPTION):
            return _Channel(meter, suffix, unit, 0)
        interval_min = int(interval) if interval.isascii() and interval.isdecimal() else 0
        reason = ""
        if not nmi or not 1 <= interval_min <= DAY_MIN or DAY_MIN % interval_min:
            reason = "record_200_without_meter_or_interval"
        return _Channel(meter, suffix, self._unit_of(unit, line), interval_min, reason)

    def _unit_of(self, text: str, line: int) -> str:
        if self._unit and self._is_overridden:
            return self._unit
        unit = find_unit(text)
        if unit is None or unit.quantity != "energy" or (self._unit and self._unit != unit.symbol):
            problem = f", but --unit says {self._unit}" if self._unit else ": not a known unit of energy"
            raise SourceError(
                f"{self._stream.path}, line {line}: the unit is {text!r}{problem}. Set the right one with --unit and "
                "--override-unit."
            )
        return unit.symbol

    def _day(self, record: list[str], line: int, text: bytes, channel: _Channel | None, rows: TypedRows) -> _Day | None:
        """The day of a record 300; None if it is not consumption, or rejected."""
        if channel is not None and not channel.suffix.startswith(CONSUMPTION):
            what = CHANNELS.get(channel.suffix[:1], "not consumption")
            self.format.counts[f"days of channel {channel.suffix} ({what}) were left out."] += 1
            return None
        reason = "no_record_200_before_it" if channel is None else channel.reason
        if channel is not None and not reason:
            intervals = DAY_MIN // channel.interval_min
            start = _midnight(record[1] if len(record) > 1 else "", self._zone)
            reason = "" if isinstance(start, int) else start
            if not reason and (len(record) < intervals + 3 or not QUALITY.fullmatch(record[intervals + 2])):
                # One value more or less, and another field is in the place of the quality.
                reason = "no_quality_after_the_values"
            if not reason and isinstance(start, int):
                quality = record[intervals + 2]
                values = record[2 : intervals + 2]
                return _Day(line, _shown(text), channel, start, values, [quality] * intervals)
        rows.rejects.append(Reject(line, reason, _shown(text)))
        return None

    def _add(self, day: _Day, rows: TypedRows) -> None:
        """Add the values of a day to the rows; rejects name the interval."""
        parsed = parse_energy(pa.array(day.values, pa.string()), day.channel.unit)
        values, reasons, step = parsed.values.to_pylist(), parsed.reasons.tolist(), day.channel.interval_min * 60
        good: list[int] = []
        for index, (quality, reason) in enumerate(zip(day.qualities, reasons, strict=True)):
            flag = quality[:1].upper()
            reason = {NULL: "no_value_by_its_quality", VARIES: "quality_without_record_400"}.get(flag, reason)
            if reason:
                text = f"interval {index + 1}: {day.values[index]!r}, quality {quality!r}, of {day.text}"
                rows.rejects.append(Reject(day.line, reason, text))
                continue
            if flag in QUALITIES:
                self.format.counts[f"values are {QUALITIES[flag]} (quality {flag})."] += 1
            good.append(index)
        seconds = [day.start + index * step for index in good]
        rows.add(day.line, day.channel.meter, seconds, [values[index] for index in good])


def _set_quality(day: _Day, record: list[str]) -> None:
    """Apply a record 400: first and last interval, counted from 1, and their quality. Damaged ones have no effect."""
    if len(record) < 4 or not all(text.isascii() and text.isdecimal() for text in record[1:3]):
        return
    first, last, quality = int(record[1][:9]), int(record[2][:9]), record[3]
    if 1 <= first <= last <= len(day.qualities) and QUALITY.fullmatch(quality):
        day.qualities[first - 1 : last] = [quality] * (last - first + 1)


@lru_cache(maxsize=100_000)
def _midnight(text: str, zone: str) -> int | str:
    """The second at which a day (YYYYMMDD) begins, or the reason why there is none.

    In a zone with daylight saving time the intervals of a day of 23 or 25 hours are not known by their number.
    """
    try:
        # strptime also reads 2024111, as 1 November.
        date = dt.datetime.strptime(text if DATE.fullmatch(text) else "", "%Y%m%d")
    except ValueError:
        return "unreadable_time"
    if not dt.date(1970, 1, 2) <= date.date() < LAST_DAY:
        return "time_out_of_range"
    start, end = (int(day.replace(tzinfo=ZoneInfo(zone)).timestamp()) for day in (date, date + dt.timedelta(days=1)))
    return start if end - start == DAY_S else "day_of_other_than_24_hours"


def _fields(text: bytes) -> list[str]:
    line = _shown(text)
    values = next(csv.reader([line]), []) if '"' in line else line.split(",")
    return [value.strip() for value in values]


def _shown(text: bytes) -> str:
    return text.decode(errors="backslashreplace")
