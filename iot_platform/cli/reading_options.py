"""The options of ``load readings`` and ``ingest`` that say what the columns of their input mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from iot_platform.cli.output import say
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
    click.option("--device-column", help="Column with the meter id. Default: found by its name."),
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
        type=click.Choice(TIME_FORMATS),
        help="How to read times that can be read in several ways. Default: decided by all times of the file.",
    ),
    click.option(
        "--decimal",
        type=click.Choice(["point", "comma"]),
        help="Decimal separator of the values. Default: decided by all values of the file.",
    ),
    click.option(
        "--register/--interval-values",
        "register",
        default=None,
        help="The values are totals of a register, or the energy of each interval. Default: intervals; a file that "
        "looks like a register is refused.",
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
