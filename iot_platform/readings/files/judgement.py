"""Decide what the contents of a file mean, or ask: the unit, the time zone, registers and intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import ColumnMapping, FileOptions
from iot_platform.readings.files.columns import Header, Origin
from iot_platform.readings.files.conventions import Conventions, interval_in_words
from iot_platform.readings.files.daylight_saving import differs_from_utc
from iot_platform.readings.files.file_pass import FilePass
from iot_platform.readings.files.registers import suspects
from iot_platform.readings.files.series import MeterSeries
from iot_platform.readings.files.units import TABLE, UNITS, find_unit, usable

SHOWN = 3
# The load curves of Enedis have intervals of 5 to 60 minutes. Its daily values have the same columns and another unit.
LONGEST_LOAD_CURVE_S = 3600


def unit_of_column(units: Counter[str], header: Header, options: FileOptions) -> tuple[str, Origin]:
    """The unit of a file with a column of units, and its origin. Raises SourceError if it is not certain."""
    named, column = header.columns.unit, header.unit_column
    if not units or (options.unit and options.override_unit):
        return named, header.unit_from
    found: dict[str, int] = {}
    for text, count in units.items():
        unit = find_unit(text)
        if unit is None:
            raise SourceError(
                f"Column {column!r}: {text!r} is not a known unit. Set the unit with --unit ({', '.join(UNITS)}) and "
                "--override-unit."
            )
        found[usable(unit, f"Column {column!r}: a row").symbol] = found.get(unit.symbol, 0) + count
    if len(found) > 1:
        counts = ", ".join(f"{symbol} ({count:,} rows)" for symbol, count in found.items())
        raise SourceError(
            f"Column {column!r} names several units: {counts}. Split the file by unit, and load each part."
        )
    [symbol] = found
    if header.unit_from != "assumed" and symbol != named:
        source = "--unit" if header.unit_from == "given" else f"column {header.columns.value!r}"
        raise SourceError(
            f"Column {column!r} says {symbol}, but {source} says {named}. Set the right one with --unit and "
            "--override-unit."
        )
    return symbol, "unit column" if header.unit_from == "assumed" else header.unit_from


def check_times(found: FilePass, header: Header, options: FileOptions) -> None:
    """Raise SourceError if the times seem to lack the time of day, or to be the ends of intervals without saying so."""
    if header.is_date and found.repeats * 2 > found.readable:
        raise SourceError(
            f"Column {header.columns.timestamp!r} has dates, and most of them occur several times for a meter: the "
            "time of day is missing. Set --timestamp-column, or --date-column and --time-column."
        )
    if found.at_24 and not found.at_0 and options.stamp is None and header.stamp_from == "assumed":
        raise SourceError(
            "The times go up to 24:00 and have no 00:00, as the ends of intervals do. Say --stamp end, or --stamp "
            "start if they are the starts."
        )
    wrong = found.midnights.wrong() if found.midnights else None
    if wrong:
        raise SourceError(f"{found.place_name} {wrong.place}: {wrong.problem()}")


def check_time_zone(
    found: FilePass, options: FileOptions, zones_of: Callable[[Sequence[str]], Mapping[str, str]]
) -> None:
    """Raise SourceError if times without a zone, which would be read as UTC, are or may be local ones."""
    if options.timezone is not None or not found.has_local_times or not found.readable:
        return
    if sign := found.hours.sign_of_local_time():
        zone, what = sign
        raise SourceError(
            f"The times have no zone, and seem to be local ones, such as of {zone}: {what}. Name the zone with "
            "--timezone, or say --timezone UTC."
        )
    zones = {
        zone: meter
        for zone, meter in zones_of(found.series.names).items()
        if differs_from_utc(zone, found.first, found.last)
    }
    if zones:
        zone, meter = next(iter(zones.items()))
        others = f" (others: {', '.join(list(zones)[1:4])})" if len(zones) > 1 else ""
        raise SourceError(
            f"The times have no zone. By its metadata, meter {meter} is in {zone}{others}. If the times are those of "
            f"its clock, say --timezone {zone}; if they are UTC, say --timezone UTC."
        )


def check_registers(found: FilePass, mapping: ColumnMapping, options: FileOptions) -> None:
    """Raise SourceError for values that seem to be totals of a register, and for registers that cannot be read."""
    quantity = TABLE[mapping.columns.unit].quantity
    if options.register is None and quantity == "energy" and (names := suspects(found.series)):
        raise SourceError(
            f"Column {mapping.columns.value!r} seems to hold the totals of a register, not the energy of intervals: "
            f"the values of {_listed(names)} rise all the time. Say --register, or --interval-values if each value is "
            "the energy of one interval."
        )
    if not options.register:
        return
    if quantity != "energy":
        raise SourceError(
            f"A register counts energy, but {mapping.columns.value!r} is power, in {mapping.columns.unit}."
        )
    late = [name for name, rows in zip(found.series.names, found.series.column("late").tolist(), strict=True) if rows]
    if late:
        raise SourceError(
            f"The readings of {_listed(late)} are too far from the order of time to take the differences of a "
            "register. Sort the file by time."
        )


def interval_conventions(
    series: MeterSeries, conventions: Conventions, unit: str, header: Header, options: FileOptions
) -> Conventions:
    """The conventions with the interval, if they need one. Raises SourceError if it is not constant for each meter."""
    if conventions.is_register:
        only = {int(interval) for interval in series.intervals() if interval}
        found = only.pop() if len(only) == 1 else 0
        return replace(conventions, interval_s=options.interval_s or max(found, 0))
    needs = ["power becomes energy by it"] if TABLE[unit].quantity == "power" else []
    needs += ["the times are the end of it"] if conventions.stamp == "end" else []
    if not needs:
        return conventions
    if options.interval_s:
        return replace(conventions, interval_s=options.interval_s)
    why = " and ".join(needs)
    columns = zip(series.names, series.intervals().tolist(), series.column("readings").tolist(), strict=True)
    by_meter = {name: interval for name, interval, readings in columns if readings}
    changing = [name for name, interval in by_meter.items() if interval < 0]
    if changing:
        raise SourceError(
            f"The interval is needed ({why}), but that of {_listed(changing)} is not constant. Set it with --interval, "
            "such as --interval 30min."
        )
    distinct = sorted({interval for interval in by_meter.values() if interval})
    unknown = [name for name, interval in by_meter.items() if not interval]
    if unknown and len(distinct) != 1:
        raise SourceError(
            f"The interval is needed ({why}), but there is only one reading of {_listed(unknown)}. Set it with "
            "--interval, such as --interval 30min."
        )
    is_load_curve = header.stamp_from == "known format" and not (options.unit and options.stamp)
    if is_load_curve and distinct and distinct[-1] > LONGEST_LOAD_CURVE_S:
        raise SourceError(
            f"Columns {header.columns.timestamp!r} and {header.columns.value!r} look like a load curve of Enedis, but "
            f"the interval is {interval_in_words(distinct[-1])}. Say what they are: --unit with --override-unit, and "
            "--stamp."
        )
    if len(distinct) > 1:
        return replace(conventions, intervals=tuple(sorted(by_meter.items())))
    return replace(conventions, interval_s=distinct[0] if distinct else 0)


def interval_summary(series: MeterSeries) -> str:
    """The intervals between the readings of the meters, in words."""
    counts = Counter(series.intervals().tolist())
    counts.pop(0, None)
    if not counts:
        return "unknown"
    words = {
        interval: "not constant" if interval < 0 else interval_in_words(interval)
        for interval, _ in counts.most_common()
    }
    if len(counts) == 1:
        return next(iter(words.values()))
    shown = [f"{words[interval]} ({count:,} meters)" for interval, count in counts.most_common(SHOWN)]
    return ", ".join(shown) + (", ..." if len(counts) > SHOWN else "")


def energy_of(found: FilePass, mapping: ColumnMapping) -> float | None:
    """The energy of all finite values in kWh; None if it is too large for a number."""
    unit, conventions = TABLE[mapping.columns.unit], mapping.conventions
    totals = found.series.column("total")
    if conventions.is_register:
        return found.register_total_kWh if math.isfinite(found.register_total_kWh) else None
    if unit.quantity == "power":
        by_name = dict(conventions.intervals)
        seconds = [by_name.get(name, conventions.interval_s) for name in found.series.names]
        totals = totals * np.array(seconds, dtype=np.float64) / 3600
    with np.errstate(over="ignore", invalid="ignore"):
        energy = float(totals.sum()) * unit.multiply / unit.divide
    return energy if math.isfinite(energy) else None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"meter {shown}" if len(names) == 1 else f"meters {shown}{more}"
