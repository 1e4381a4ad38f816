"""What a file of readings was taken for, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from iot_platform.cli.output import say, show_table
from iot_platform.readings.files.explanation import Line, explain
from iot_platform.readings.files.inspected import Inspection
from iot_platform.readings.mapping_files import ResolvedOptions


def show_inspection(
    file: Path, found: Inspection, *, with_preview: bool, origins: Mapping[str, str] | None = None
) -> None:
    """Print what a file was taken for, where each fact is known from, and what deserves a look.

    ``origins``: where options that are set come from, by field: given, or a mapping file.
    """
    say(f"{file}:")

    def known_from(field: str, origin: str) -> str:
        return (origins or {}).get(field, origin) if origin == "given" else origin

    rows = [
        ("format", found.format, found.format_from),
        *((fact.name, fact.taken_as, fact.known_from) for fact in found.facts),
        ("quantity", found.quantity, ""),
        ("unit", found.unit, known_from("unit", found.unit_from)),
        ("time zone", found.time_zone, known_from("timezone", found.time_zone_from)),
        (
            "time is the",
            "reading" if found.quantity == "register" else f"{found.stamp} of the interval",
            known_from("stamp", found.stamp_from),
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


class InspectionView:
    """Shows what files were taken for. ``explained``: by path, how a file is read, if that was asked for."""

    def __init__(self, resolved: ResolvedOptions, *, with_preview: bool, with_explanation: bool, as_json: bool) -> None:
        self.explained: dict[str, list[Line]] = {}
        self._resolved = resolved
        self._with_preview = with_preview
        self._with_explanation = with_explanation
        self._as_json = as_json

    def show(self, file: Path, found: Inspection) -> None:
        """Print what a file was taken for."""
        if not self._as_json:
            show_inspection(file, found, with_preview=self._with_preview, origins=self._resolved.origins)
        if self._with_explanation:
            lines = self.explained[str(file)] = explain(found, self._resolved)
            if not self._as_json:
                show_table(("option", "value", "from"), lines, text=str)
