"""What a file of readings was taken for, as a table."""

from __future__ import annotations

from pathlib import Path

from iot_platform.cli.output import say, show_table
from iot_platform.readings.files.inspection import Inspection


def show_inspection(file: Path, found: Inspection, *, with_preview: bool, is_shown: bool = True) -> None:
    """Print what a file was taken for, where each fact is known from, and what deserves a look."""
    if not is_shown:
        return
    say(f"{file}:")
    rows = [
        ("format", found.format, found.format_from),
        *((fact.name, fact.taken_as, fact.known_from) for fact in found.facts),
        ("quantity", found.quantity, ""),
        ("unit", found.unit, found.unit_from),
        ("time zone", found.time_zone, found.time_zone_from),
        (
            "time is the",
            "reading" if found.quantity == "register" else f"{found.stamp} of the interval",
            found.stamp_from,
        ),
        ("time format", found.time_format, ""),
        ("decimal separator", found.decimal, ""),
        ("interval", found.interval, "found"),
        ("first reading", found.first or "none", ""),
        ("last reading", found.last or "none", ""),
        ("rows", f"{found.rows:,}", f"{found.readable:,} readable"),
        ("meters", f"{found.meters:,}", ""),
        ("kWh", "too large" if found.kWh is None else f"{found.kWh:,.3f}", ""),
    ]
    show_table(("", "taken as", "known from"), rows)
    for warning in found.warnings:
        say(f"  Note: {warning}")
    if with_preview:
        show_table(("start (UTC)", "meter", "kWh"), found.preview, text=str)
        shown = len({meter for _, meter, _ in found.preview})
        if shown < found.meters:
            say(f"  These are the first readings of {shown} of {found.meters:,} meters.")
