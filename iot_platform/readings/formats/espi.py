"""Green Button files (ESPI XML). Each IntervalReading of forward electricity in Wh is a row.

The rules:

- A reading has its start in seconds since 1970 (UTC); the local offset of a feed is for display only.
- The value is in Wh by the reading type, times its power of ten. Readings in other units, of gas or water, fed in
  (reverse), net, or totals of a register are left out, and counted.
- The meter is the link of the usage point, such as RetailCustomer/9b6c7063/UsagePoint/01, or --device.
- If a usage point has several series of usage (such as hours and days of the same energy), the file is refused.

A file is read twice: the reading types, and the links of a block, may come after the readings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.content import Content
from iot_platform.readings.files.file_format import FileFormat
from iot_platform.readings.files.raw_rows import PlainSource, RawRows, Reject
from iot_platform.readings.formats.espi_feed import Feed, Series
from iot_platform.readings.formats.espi_xml import read_entries
from iot_platform.readings.formats.typed_rows import NAMES, TypedRows, known_header

# Expat keeps a tag as a whole, so the size of the file bounds the memory.
MOST_BYTES = 2 << 30
LAST_SECOND = 2**32 - 1
# Qualities of readings that were not simply measured.
QUALITIES = {
    "7": "edited by hand",
    "8": "estimated by a day of reference",
    "9": "estimated by linear interpolation",
    "10": "questionable",
    "11": "derived",
    "12": "projected",
    "13": "of mixed quality",
    "15": "normalised for the weather",
}
SCALE_OF_UNIT = {"Wh": -3, "kWh": 0, "MWh": 3, "GWh": 6, "mWh": -6}


class EspiRowSource(PlainSource):
    """A Green Button file. The place of a row is the number of its IntervalReading, counted from 1."""

    place_name = "interval reading"
    column_names = NAMES

    def __init__(self, content: Content, recognised_by: str, options: FileOptions) -> None:
        self._shown = content.shown
        self._options = options
        self._file: BinaryIO = content.seekable()
        try:
            self._size = self._file.seek(0, 2)
            if self._size > MOST_BYTES:
                raise SourceError(f"{self._shown}: an XML file of more than {MOST_BYTES >> 30} GB. Split it.")
            self._feed = Feed()
            self._blocks: list[tuple[str, str]] = []
            self._series: list[Series] = []
            self._is_unit_given = self._first_pass()
        except BaseException:
            self._file.close()
            raise
        keys = ["espi", options.device, options.unit if self._is_unit_given else None]
        self.format = FileFormat(
            "Green Button (ESPI)",
            recognised_by,
            key=" ".join(text for text in keys if text),
            header=known_header(),
            time_zone="UTC",
        )

    def rows(self, columns: list[str]) -> Iterator[RawRows]:
        """All readings of usage."""
        rows = TypedRows()
        for place, (block, reading) in enumerate(self._intervals(), start=1):
            series = self._series[block]
            if series.left_out:
                self.format.counts[f"readings were left out: {series.left_out}."] += 1
                continue
            self._add(rows, place, series, reading)
            if rows.is_full:
                yield rows.piece()
        yield rows.piece()

    def progress(self) -> float:
        """Share of the file that has been read, from 0 to 1."""
        return self._file.tell() / max(1, self._size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _first_pass(self) -> bool:
        """Find out what each block is. Returns whether the unit is from --unit."""
        if not sum(1 for _ in self._intervals()):
            raise SourceError(f"{self._shown}: the Green Button file has no IntervalReading.")
        unit, device = self._options.unit, self._options.device
        as_it_is = {block: self._feed.series(*block, device=device, scale=None) for block in set(self._blocks)}
        usage = {series for series in as_it_is.values() if not series.left_out}
        if not usage:
            reasons = sorted({series.left_out for series in as_it_is.values()})
            raise SourceError(f"{self._shown}: no reading is usage of electricity in Wh: {', '.join(reasons)}.")
        lacks_unit = any(series.scale is None for series in usage)
        missing = []
        if any(not series.meter for series in usage):
            missing.append("no UsagePoint says which meter it is: set it with --device")
        if lacks_unit and unit not in SCALE_OF_UNIT:
            missing.append("no ReadingType says the unit: set it with --unit Wh (or kWh)")
        if missing:
            raise SourceError(f"{self._shown}: a Green Button file, but {'; '.join(missing)}.")
        if not lacks_unit and unit not in (None, "Wh"):
            raise SourceError(f"{self._shown}: the unit is Wh, by the ReadingType. Leave out --unit.")
        self._check_series(usage)
        scale = SCALE_OF_UNIT.get(unit or "")
        known = {block: self._feed.series(*block, device=device, scale=scale) for block in as_it_is}
        self._series = [known[block] for block in self._blocks]
        return lacks_unit

    def _check_series(self, found: set[Series]) -> None:
        meters: dict[str, list[str]] = {}
        for series in found:
            meters.setdefault(series.meter, []).append(series.name)
        several = next(((meter, names) for meter, names in meters.items() if len(names) > 1), None)
        if several is not None:
            meter, names = several
            raise SourceError(
                f"{self._shown}: meter {meter} has {len(names)} series of usage: {', '.join(sorted(names)[:5])}. They "
                "may be the same energy, in other intervals. Leave only one of them in the file."
            )

    def _add(self, rows: TypedRows, place: int, series: Series, reading: dict[str, str]) -> None:
        start, value = reading.get("start", ""), reading.get("value", "")
        reason = "" if start else "missing_time"
        if not reason and not (start.isascii() and start.isdecimal()):
            reason = "unreadable_time"
        if not reason and int(start) > LAST_SECOND:
            reason = "time_out_of_range"
        if not reason and not value:
            reason = "missing_value"
        kWh = 0.0
        if not reason:
            try:
                kWh = series.energy(value)
            except (ArithmeticError, ValueError):
                reason = "unreadable_value"
        if reason:
            rows.rejects.append(Reject(place, reason, str(reading)))
            return
        if quality := QUALITIES.get(reading.get("quality", "")):
            self.format.counts[f"values are {quality}."] += 1
        rows.add(place, series.meter, [int(start)], [kWh])

    def _intervals(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Each reading with the number of its block. Notes all other entries, and the links of the blocks."""
        self._blocks = []
        for entries, readings in read_entries(self._file, self._shown):
            for entry in entries:
                # The links may come after the readings.
                self._feed.add(entry)
                self._blocks += [(entry.own, entry.up)] * entry.blocks
            yield from readings
