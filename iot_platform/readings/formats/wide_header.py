"""Columns for the intervals of a day: a clock time each (00:00, 00:30 ...), or a number (1 ... 48, HH01 ... HH48)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from iot_platform.errors import SourceError
from iot_platform.readings.files.units import unit_of_header

DAY_MIN = 1440
INTERVALS_MIN = (60, 30, 15)
# What stands beside the number of an interval; with another word, numbers may count meters.
NUMBERED = {
    *(
        "",
        "h",
        "hh",
        "hr",
        "hour",
        "p",
        "period",
        "i",
        "int",
        "interval",
        "t",
        "v",
        "val",
        "value",
        "slot",
        "kwh",
        "wh",
    ),
    *("usage", "reading", "read", "consumption", "halfhour", "qh", "stunde", "hora", "heure"),
}
# 2A:00 and 2B:00 are the hour that clocks repeat; 01:00 and 01:00.1 as well.
_CLOCK_TIME = r"[0-9]{1,2}[ABab]?[:h.][0-9]{2}(?::00)?"
_CLOCK = re.compile(
    rf"(?P<hour>[0-9]{{1,2}})[ABab]?[:h.](?P<minute>[0-9]{{2}})(?::00)?(?:\s*(?:-|to|–)\s*{_CLOCK_TIME})?(?![0-9])"
)
_DIGITS = re.compile(r"(?<![0-9])(?P<hour>[0-2][0-9])(?P<minute>[0-5][05])(?![0-9])")
_SECOND = re.compile(r"(?i)\s*(?:\.1|_2|\(2\)|\*|dst)$")
_PER = re.compile(r"/|(?i:\bper\b)")
_NUMBER = re.compile(r"(?<![0-9])(?P<number>[0-9]{1,3})(?![0-9])")


@dataclass(frozen=True)
class DayColumns:
    """The columns of a day: their indexes in the header, in the order of the day.

    ``minutes``: the local time at which each interval begins, by the clock; empty if the columns are numbered: then
    each begins one interval after the one before, counted from midnight. ``stamp``: whether the names are the starts or
    the ends of the intervals. ``around``: what else is in the names, such as a unit; several texts differ in case.
    """

    indexes: tuple[int, ...]
    interval_min: int
    minutes: tuple[int, ...]
    stamp: Literal["start", "end"]
    around: tuple[str, ...]

    def unit(self, *, needed: bool = True) -> str:
        """The unit in the names, or "".

        Raises SourceError as ``unit_of_header`` does, and if names have different units.
        """
        found = [unit.symbol for text in self.around if (unit := unit_of_header(text, needed=needed))]
        if needed and len(set(found)) > 1:
            raise SourceError(f"The columns of the day name several units: {', '.join(sorted(found))}. Set --unit.")
        symbol = found[0] if len(set(found)) == 1 else ""
        # kWh per interval were always read as kWh, the unit of columns that name none: their sources keep their names.
        return "" if symbol == "kWh" and _PER.search(self.around[0]) else symbol


def find_day_columns(names: Sequence[str], *, is_given: bool = False) -> DayColumns | None:
    """The columns that are the intervals of one day, if a header has them all; else None.

    24, 48 or 96 of them, in the order of the day; and those of the hour that clocks repeat in autumn (25, 50, 100): as
    further numbers, or as a clock time that occurs twice. ``is_given``: it is said that each row is a day; otherwise
    numbers count only beside a word for an interval.
    """
    return _by_clock(names, _CLOCK) or _by_clock(names, _DIGITS) or _by_number(names, is_given=is_given)


def _by_clock(names: Sequence[str], pattern: re.Pattern[str]) -> DayColumns | None:
    found = [(index, match) for index, name in enumerate(names) if (match := pattern.search(name))]
    around = _distinct(match for _, match in found)
    if len({text.lower() for text in around}) != 1:
        return None
    minutes = [int(match["hour"]) * 60 + int(match["minute"]) for _, match in found]
    stamp: Literal["start", "end"] = "start" if minutes[0] == 0 else "end"
    if stamp == "end":
        # The last one is 24:00, or 00:00 of the next day.
        minutes = [*minutes[:-1], minutes[-1] or DAY_MIN]
    for interval in INTERVALS_MIN:
        starts = tuple(minute - (interval if stamp == "end" else 0) for minute in minutes)
        once = tuple(range(0, DAY_MIN, interval))
        if tuple(sorted(set(starts))) == once and _is_in_order(starts, interval):
            return DayColumns(tuple(index for index, _ in found), interval, starts, stamp, around)
    return None


def _is_in_order(starts: Sequence[int], interval: int) -> bool:
    """Whether the times rise; those of one hour may occur once more, after it or each after its first one."""
    repeated = [minute for minute in starts if starts.count(minute) > 1]
    hour = 60 // interval
    if not repeated:
        return list(starts) == sorted(starts)
    is_an_hour = len(repeated) == 2 * hour and max(repeated) - min(repeated) == 60 - interval
    others = [minute for minute in starts if minute not in repeated]
    return is_an_hour and others == sorted(others) and sorted(starts) == sorted([*sorted(set(starts)), *set(repeated)])


def _by_number(names: Sequence[str], *, is_given: bool) -> DayColumns | None:
    by_around: dict[str, list[tuple[int, re.Match[str]]]] = {}
    for index, name in enumerate(names):
        if (match := _NUMBER.search(name)) and len(_NUMBER.findall(name)) == 1:
            by_around.setdefault(_around(match).lower(), []).append((index, match))
    for around, found in by_around.items():
        if not is_given and re.sub("[^a-z]", "", around) not in NUMBERED:
            continue
        numbers = [int(match["number"]) for _, match in found]
        for interval in INTERVALS_MIN:
            count, hour = DAY_MIN // interval, 60 // interval
            is_complete = len(numbers) in (count, count + hour) and numbers[0] in (0, 1)
            if is_complete and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
                texts = _distinct(match for _, match in found)
                return DayColumns(tuple(index for index, _ in found), interval, (), "start", texts)
    return None


def _around(match: re.Match[str]) -> str:
    """The text around a time or number in a name. Its case is kept: mWh are not MWh."""
    around = (match.string[: match.start()] + " " + match.string[match.end() :]).strip()
    return _SECOND.sub("", around)


def _distinct(matches: Iterable[re.Match[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_around(match) for match in matches))
