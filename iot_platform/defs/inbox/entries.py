"""What Dagster shows of the inbox's files: one row for each file of a run, and those that cannot be loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from iot_platform.alerts.problem import one_line
from iot_platform.defs.table_entries import LONG_CELL, Entries, markdown_table

if TYPE_CHECKING:
    from iot_platform.readings.files.file_result import FileResult
    from iot_platform.readings.inbox.inbox_load import LoadedFile
    from iot_platform.readings.inbox.inbox_memory import KnownFile

# As many problems as an incident can have.
MOST_FAILING = 200
MOST_ROWS = 1_000
FAILING = "files_that_cannot_be_loaded"
_COLUMNS = (
    *("file", "state", "rows", "inserted", "loaded before", "bad rows", "kWh", "unit", "time zone", "time is the"),
    *("interval", "first reading", "last reading", "meters", "read as, or what is wrong"),
)


def entries_of(location: str, loaded: Sequence[LoadedFile]) -> Entries:
    """The files of a run."""
    states = [file.entry.state for file in loaded]
    results = [result for file in loaded for result in file.results]
    rows = [row for file in loaded for row in _rows(file)]
    table = markdown_table(_COLUMNS, rows[:MOST_ROWS], cell_length=LONG_CELL)
    return {
        "inbox": location,
        "files": dg.MetadataValue.md(table),
        "files_loaded": states.count("loaded"),
        "files_failed": states.count("failed"),
        "files_tried_again_later": states.count("later"),
        "added_readings": sum(result.inserted for result in results),
        "bad_rows": sum(sum(result.rejected.values()) for result in results),
    }


def failing_entries(failing: Sequence[KnownFile]) -> Entries:
    """All files that cannot be loaded, also of earlier runs. The alerts are made from them."""
    listed: list[dict[str, object]] = [
        {
            "path": file.path,
            "content": file.content,
            "message": one_line(file.message),
            "since": file.recorded_at.isoformat(),
        }
        for file in failing[:MOST_FAILING]
    ]
    return {FAILING: dg.MetadataValue.json(listed), "files_that_cannot_be_loaded_count": len(failing)}


def _rows(file: LoadedFile) -> list[tuple[object, ...]]:
    """A row for a file that was loaded (for each one in an archive), and one for what was not."""
    rows = [_row(result) for result in file.results]
    if file.entry.state != "loaded":
        rows.append((file.entry.file.path, file.entry.state, *[""] * 12, file.entry.message))
    return rows


def _row(result: FileResult) -> tuple[object, ...]:
    state = "loaded before" if result.was_complete else "loaded"
    counts = (result.rows_read, result.inserted, result.already_loaded, sum(result.rejected.values()))
    taken: tuple[object, ...] = ("",) * 8
    notes = [result.mapping]
    if found := result.inspection:
        energy = "too large" if found.kWh is None else f"{found.kWh:,.3f}"
        taken = (energy, found.unit, found.time_zone, found.stamp, found.interval)
        taken += (found.first or "none", found.last or "none", found.meters)
        notes += found.warnings
    if result.rejected:
        notes.append(f"Bad rows: {result.rejects_file}.")
    if result.last_line == "held back":
        notes.append("The last line has no line end, may be cut off, and was not loaded.")
    return (result.file, state, *counts, *taken, " ".join(notes))
