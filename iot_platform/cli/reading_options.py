"""The options of ``iot-platform load readings`` that say what the columns of a file mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from iot_platform.readings.files.csv_text import known_encoding
from iot_platform.readings.files.file_format import FORMATS
from iot_platform.readings.files.time_formats import TIME_FORMATS, check_time_format
from iot_platform.readings.files.units import UNITS
from iot_platform.readings.files.whole_file_meter import check_name_pattern

Command = TypeVar("Command", bound=Callable[..., Any])
_SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def _zone(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.BadParameter(f"unknown time zone {value!r}. Use a name such as Europe/London.") from error
    return value


def _interval(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Seconds of a text such as 30min."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,6})\s*([a-z]+)", value.strip().lower())
    if found is None or found[2] not in _SECONDS or not int(found[1]):
        raise click.BadParameter(f"{value!r} is not an interval. Use a number and s, min, h or d, such as 30min.")
    return int(found[1]) * _SECONDS[found[2]]


def _checked_by(check: Callable[[str], str]) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """A callback that turns the ValueError of a check into the error of an option."""

    def callback(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
        try:
            return None if value is None else check(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return callback


_OPTIONS = (
    click.option("--timestamp-column", help="Column with the time of the interval. Default: found by its name."),
    click.option("--date-column", help="Column with the date, if the time of day is in another one."),
    click.option("--time-column", help="Column with the time of day, beside the date. Default: both found by name."),
    click.option("--device-column", help="Column with the meter id. Default: found by its name."),
    click.option("--device", metavar="ID", help="Meter id of the whole file, if no column has it."),
    click.option(
        "--device-from-name",
        metavar="PATTERN",
        callback=_checked_by(check_name_pattern),
        help="Meter id of the whole file from its name, such as 'meter_{}.csv'; {} stands for the id, * for any text.",
    ),
    click.option("--value-column", help="Column with the energy or power of the interval. Default: found by its name."),
    click.option(
        "--unit",
        type=click.Choice(UNITS),
        help="Unit of the values. Default: that in the column's name or in a column of units, else kWh. Power (W, kW, "
        "MW) becomes energy by the interval.",
    ),
    click.option("--override-unit", is_flag=True, help="Take --unit even if the file names another unit."),
    click.option(
        "--interval",
        "interval_s",
        callback=_interval,
        metavar="TEXT",
        help="Length of the intervals, such as 30min, where it is needed (power, ends of intervals). Default: found "
        "from the times.",
    ),
    click.option(
        "--stamp",
        type=click.Choice(["start", "end"]),
        help="Whether the time is the start or the end of the interval. Default: end if the column's name says so, "
        "else start.",
    ),
    click.option(
        "--timezone",
        callback=_zone,
        help="Time zone of times without one. Default: UTC; refused if the file, or the metadata of its meters, speaks "
        "against it.",
    ),
    click.option(
        "--timestamp-format",
        callback=_checked_by(check_time_format),
        metavar="FORMAT",
        help=f"How to read times: {', '.join(TIME_FORMATS)}, or in strftime notation, such as '%d.%m.%Y %H:%M'. "
        "Default: decided by all times of the file.",
    ),
    click.option(
        "--decimal",
        type=click.Choice(["point", "comma"]),
        help="Decimal separator of the values. Default: decided by all values of the file.",
    ),
    click.option(
        "--encoding",
        callback=_checked_by(known_encoding),
        help="Encoding of the text. Default: UTF-8 or UTF-16, and Windows-1252 if the header or the ids are not UTF-8.",
    ),
    click.option(
        "--register/--interval-values",
        "register",
        default=None,
        help="The values are totals of a register, or the energy of each interval. Default: intervals; a file that "
        "looks like a register is refused.",
    ),
    click.option(
        "--format",
        type=click.Choice(FORMATS),
        default="auto",
        help="Format of the file. Default: recognised by its content.",
    ),
    click.option("--sheet", help="Sheet of a workbook. Default: the first one with readings."),
    click.option(
        "--wide",
        type=click.Choice(["day", "meters"]),
        help="Each row has the values of a day (one column per interval), or of several meters (one column per meter). "
        "Default: days are recognised by their columns.",
    ),
)


def reading_options(command: Command) -> Command:
    """Add these options to a command, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
