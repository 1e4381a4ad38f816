"""What deserves a look in a file that is understood, in words."""

from __future__ import annotations

import datetime as dt
from typing import Literal
from zoneinfo import ZoneInfo

from iot_platform.readings.files.column_mapping import ColumnMapping, FileOptions
from iot_platform.readings.files.conventions import interval_in_words
from iot_platform.readings.files.file_pass import FilePass
from iot_platform.readings.files.header_names import normal


def warnings_of(found: FilePass, mapping: ColumnMapping, options: FileOptions) -> list[str]:
    """What deserves a look, in words."""
    warnings = []
    if options.interval_s:
        other = {int(interval) for interval in found.series.intervals() if interval > 0} - {options.interval_s}
        if other:
            warnings.append(
                f"--interval says {interval_in_words(options.interval_s)}, but readings are "
                f"{interval_in_words(min(other))} apart."
            )
    if _has_gaps(found, mapping):
        warnings.append("After a gap, the energy of the whole gap is put into its last interval.")
    if found.last_row and found.last_row.may_be_cut and not options.accept_last_line:
        warnings.append("The last line has no line end, and may be cut off: see --accept-last-line.")
    time, zone = mapping.columns.timestamp, mapping.timezone
    if found.has_local_times and zone != "UTC" and {"utc", "gmt"} & set(normal(time).split("_")):
        warnings.append(
            f"Column {time!r} is named as UTC, but its times are read as those of {zone}, as --timezone says."
        )
    if (seems := seeming_stamp(found, mapping)) and seems != mapping.conventions.stamp:
        days = "midnight to one interval before it" if seems == "start" else "one interval after midnight to midnight"
        warnings.append(
            f"The times are taken as the {mapping.conventions.stamp} of the interval, but go from {days}, as the "
            f"{seems}s of whole days do: see --stamp."
        )
    unread = found.rows - found.readable
    if found.rows and not found.readable and found.time_forms.example:
        warnings.append(
            f"No time can be read, such as {found.time_forms.example!r}: see --timestamp-format, which also takes a "
            "format such as '%d.%m.%Y %H:%M'."
        )
    if unread:
        warnings.append(f"{unread:,} rows are not readings.")
    return warnings


def _has_gaps(found: FilePass, mapping: ColumnMapping) -> bool:
    """Whether readings of a register are further apart than an interval, if all intervals have one length."""
    series, interval_s = found.series, mapping.conventions.interval_s
    if found.register is None or not interval_s:
        return False
    shortest, steps = series.column("shortest"), series.column("steps")
    is_longer = (shortest > interval_s) | (series.column("shortest_steps") < steps)
    return bool((is_longer & (steps > 0)).any())


def seeming_stamp(found: FilePass, mapping: ColumnMapping) -> Literal["start", "end", ""]:
    """What the times of whole days are by their first and last one: 00:00 to 23:30, or 00:30 to 00:00. "": unknown."""
    intervals = {int(interval) for interval in found.series.intervals() if interval}
    if mapping.conventions.is_register or len(intervals) != 1:
        return ""
    step, zone = dt.timedelta(seconds=intervals.pop()), ZoneInfo(mapping.timezone)
    first, last = (dt.datetime.fromtimestamp(second, zone).replace(tzinfo=None) for second in (found.first, found.last))
    midnights = [moment.time() == dt.time() for moment in (first, last + step, first - step, last)]
    if midnights[0] == midnights[2]:
        return ""
    return "start" if all(midnights[:2]) else "end" if all(midnights[2:]) else ""
