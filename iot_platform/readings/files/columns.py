"""Find the columns of a file that contain the time, the meter and the energy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from iot_platform.errors import SourceError
from iot_platform.readings.files.header_names import Subject, all_names, is_value, normal, tiers
from iot_platform.readings.files.units import TABLE, unit_of_header, usable

# The platform's own names: each is chosen even if other columns have a known name.
OWN_NAMES = {"timestamp", "device_id", "power_usage_kwh"}

# Where a convention of a file is known from.
Origin = Literal["given", "column's name", "unit column", "known format", "assumed"]


@dataclass(frozen=True)
class Columns:
    """The names of the three columns in a file, and the unit of the energy."""

    timestamp: str
    device: str
    value: str
    unit: str

    @property
    def names(self) -> list[str]:
        """The names of the columns for time, meter and energy, in this order."""
        return [self.timestamp, self.device, self.value]


@dataclass(frozen=True)
class Header:
    """What the header of a file says: its columns, and where the unit and the meaning of the time are known from.

    ``stamp``: whether the time is the start or the end of the interval. ``unit_column``: a column that names the unit
    of each row. ``is_date``: by its name, the time column has dates, maybe without a time of day.
    """

    columns: Columns
    unit_from: Origin
    stamp: Literal["start", "end"]
    stamp_from: Origin
    unit_column: str | None
    is_date: bool = False


def choose_columns(
    header: Sequence[str], *, timestamp: str | None, device: str | None, value: str | None, unit: str | None
) -> Columns:
    """The columns of ``read_header``."""
    return read_header(header, timestamp=timestamp, device=device, value=value, unit=unit).columns


def read_header(
    header: Sequence[str],
    *,
    timestamp: str | None,
    device: str | None,
    value: str | None,
    unit: str | None,
    override_unit: bool = False,
    is_end: bool = False,
) -> Header:
    """The given column names; a name that is not given is guessed from the header if only one column matches.

    ``is_end``: the given time is the end of the interval, as its column says. Without ``unit`` the energy is in the
    unit that the column's name contains, else in kWh. Raises SourceError when a column is missing, several columns
    match, or the column's name contains another unit than ``unit`` (unless ``override_unit``).
    """
    chosen_value = _choose(header, value, _value_names(), "energy", "set it with --value-column")
    chosen_time = timestamp if is_end and timestamp else _choose_time(header, timestamp)
    # The load curves of Enedis: mean power in W, with the end of the interval.
    is_enedis = normal(chosen_time) == "horodate" and normal(chosen_value) == "valeur"
    stamp_from: Origin = "known format" if is_enedis else "assumed"
    if is_end or (normal(chosen_time) in all_names("end") and normal(chosen_time) not in all_names("time")):
        stamp_from = "column's name"
    decided, unit_from = _decide_unit(chosen_value, unit, is_enedis=is_enedis, override=override_unit)
    units = [name for name in header if normal(name) in all_names("unit")]
    return Header(
        columns=Columns(
            timestamp=chosen_time,
            device=_choose(
                header,
                device,
                _names("meter"),
                "meter",
                "set it with --device-column, or say which meter the whole file belongs to with --device or "
                "--device-from-name",
            ),
            value=chosen_value,
            unit=decided,
        ),
        unit_from=unit_from,
        stamp="start" if stamp_from == "assumed" else "end",
        stamp_from=stamp_from,
        unit_column=next((name for name in units if header.count(name) == 1), None),
        is_date=timestamp is None and normal(chosen_time) not in all_names("time", "end"),
    )


def names_a_reading(header: Sequence[str], timestamp: str | None, value: str | None) -> bool:
    """Whether a line may be the header of a file: it names a time and a value, which may be given ones."""
    has_time = any(normal(name) in all_names("time", "end", "date") for name in header)
    has_value = any(is_value(name) for name in header)
    return (timestamp in header if timestamp else has_time) and (value in header if value else has_value)


def _decide_unit(column: str, given: str | None, *, is_enedis: bool, override: bool) -> tuple[str, Origin]:
    if given and override:
        return given, "given"
    # Without need, a name that contains several units says nothing.
    named = TABLE["W"] if is_enedis else unit_of_header(column, needed=given is None)
    if named is None:
        return (given, "given") if given else ("kWh", "assumed")
    usable(named, f"Column {column!r}")
    if given and given != named.symbol:
        holds = "as a load curve of Enedis, is" if is_enedis else "by its name, is"
        raise SourceError(
            f"Column {column!r}, {holds} in {named.symbol}, but --unit says {given}. Leave out --unit, or add "
            "--override-unit if it is right."
        )
    return named.symbol, "known format" if is_enedis else "column's name"


# Whether a column's name is one of a tier of names: those of the next tier count if no column has one of this tier.
Tier = Callable[[str], bool]


def _names(*subjects: Subject) -> list[Tier]:
    own: list[AbstractSet[str]] = [OWN_NAMES & all_names(*subjects)]
    return [_in(names) for names in (*own, *(names for subject in subjects for names in tiers(subject)))]


def _value_names() -> list[Tier]:
    # The names without their units count last.
    return [*_names("value"), is_value]


def _in(names: AbstractSet[str]) -> Tier:
    return lambda name: normal(name) in names


def _choose_time(header: Sequence[str], named: str | None) -> str:
    time, end = tiers("time"), tiers("end")
    known = [_in(names) for names in (OWN_NAMES & time[0], time[0], end[0], *time[1:], *end[1:], all_names("date"))]
    way_out = "set it with --timestamp-column, or with --date-column and --time-column"
    chosen = _choose(header, named, known, "time", way_out)
    others = [name for name in header if normal(name) in all_names("part_of_day", "clock", "clock_end")]
    if named is None and normal(chosen) not in all_names("time", "end") and others:
        raise SourceError(
            f"Column {chosen!r} has the date, and column {others[0]!r} may tell the intervals of a day apart, but not "
            "by a time of day such as 00:30. Set --timestamp-column, or --date-column and --time-column."
        )
    return chosen


def _choose(header: Sequence[str], named: str | None, known: Sequence[Tier], meaning: str, way_out: str) -> str:
    listing = ", ".join(repr(name) for name in header)
    if named is not None:
        option = f"--{'timestamp' if meaning == 'time' else 'device' if meaning == 'meter' else 'value'}-column"
        # The names in a mapping file hold for all files of a supplier, whose headers differ in case and blanks.
        alike = [name for name in header if name.strip().lower() == named.strip().lower()]
        if named not in header and len(alike) == 1:
            return alike[0]
        if named not in header:
            raise SourceError(f"There is no column {named!r} ({option}). Columns: {listing}.")
        if header.count(named) > 1:
            raise SourceError(f"Column {named!r} ({option}) occurs {header.count(named)} times. Columns: {listing}.")
        return named
    found = next((names for tier in known if (names := [name for name in header if tier(name)])), [])
    if len(found) > 1 and len(set(found)) == 1:
        raise SourceError(
            f"Column {found[0]!r}, which may be the {meaning}, occurs {len(found)} times: the file has several tables "
            f"side by side. Split it, and load each part. Columns: {listing}."
        )
    if len(found) != 1:
        problem = f"Several columns may be the {meaning}" if found else f"No column is recognized as the {meaning}"
        raise SourceError(f"{problem}; {way_out}. Columns: {listing}.")
    return found[0]
