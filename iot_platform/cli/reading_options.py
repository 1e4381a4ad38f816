"""The options of ``load readings`` and ``ingest`` that say what the columns of their input mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from iot_platform.cli.output import say
from iot_platform.readings.files.file_format import FORMATS
from iot_platform.readings.files.option_values import CHECKS
from iot_platform.readings.files.time_formats import TIME_FORMATS
from iot_platform.readings.files.units import UNITS
from iot_platform.readings.mapping_files import ResolvedOptions, find_mapping, resolve

Command = TypeVar("Command", bound=Callable[..., Any])


def _checked(check: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    def convert(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else check(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return convert


_OPTIONS = (
    click.option(
        "--mapping",
        metavar="NAME|FILE",
        help="Take the options below from a mapping file, or from a ready mapping (`iot-platform mappings list`). "
        "Options of the command line override it.",
    ),
    click.option("--timestamp-column", help="Column with the time of the interval. Default: found by its name."),
    click.option("--date-column", help="Column with the date, if the time of day is in another one."),
    click.option("--time-column", help="Column with the time of day, beside the date. Default: both found by name."),
    click.option("--device-column", help="Column with the meter id. Default: found by its name."),
    click.option("--device", metavar="ID", help="Meter id of the whole file, if no column has it."),
    click.option(
        "--device-from-name",
        metavar="PATTERN",
        callback=_checked(CHECKS["device_from_name"]),
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
        callback=_checked(CHECKS["interval_s"]),
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
        callback=_checked(CHECKS["timezone"]),
        help="Time zone of times without one. Default: UTC; refused if the file, or the metadata of its meters, speaks "
        "against it.",
    ),
    click.option(
        "--timestamp-format",
        callback=_checked(CHECKS["timestamp_format"]),
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
        callback=_checked(CHECKS["encoding"]),
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


def resolved_options(options: dict[str, Any]) -> ResolvedOptions:
    """The options of files from those of a command: given ones override those of ``--mapping``, which is told.

    Raises SourceError when the mapping is wrong.
    """
    name = options.pop("mapping")
    given = {
        field: value
        for field, value in options.items()
        if click.get_current_context().get_parameter_source(field) is not ParameterSource.DEFAULT
    }
    resolved = resolve(given, find_mapping(name) if name else None)
    for text in resolved.overridden:
        say(text, err=True)
    return resolved
