"""Output of commands: text and tables for people, JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from iot_platform.layers.catalog import L2, L3, QUARANTINE, RAW_TABLE
from iot_platform.layers.summary import Summary
from iot_platform.security.escaping import escape_lines

PIPE_WIDTH = 200


def say(text: str, *, err: bool = False) -> None:
    """Print a text on standard output (``err``: standard error), with control characters escaped."""
    click.echo(escape_lines(text), err=err)


def echo_json(value: object) -> None:
    """Print one line of JSON on standard output."""
    click.echo(json.dumps(value, default=str))


def show_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, text: Callable[[object], str] | None = None
) -> None:
    """Print a table on standard output. ``text`` formats a value; default: numbers are rounded."""
    table = Table(box=box.SIMPLE_HEAD)
    cells = [list(row) for row in rows]
    for index, column in enumerate(columns):
        numeric = bool(cells) and all(isinstance(row[index], int | float) for row in cells)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(escape_lines((text or _text)(cell))) for cell in row))
    # A pipe has no width, and rich's default of 80 columns would fold the names.
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    console.print(table)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return str(value)


def show_summary(summary: Summary) -> None:
    """Print the summary of all layers as a table, and whether the sums of the layers agree."""
    rows = []
    for layer in summary.layers.values():
        notes = {
            QUARANTINE.name: ", ".join(f"{reason} {count:,}" for reason, count in summary.rejected.items()),
            L2.name: f"duplicates in L1: {summary.duplicates:,}",
            L3.name: f"without metadata: {summary.unenriched:,}",
        }.get(layer.name, "")
        verified = "yes" if layer.proved else f"{_days(len(layer.unproved))} unverified"
        if layer.name == RAW_TABLE:
            verified = "(source)"
        rows.append((layer.name, layer.rows, layer.readings, layer.kWh, layer.partitions, verified, notes))
    show_table(("layer", "rows", "readings", "kWh", "days", "verified", "notes"), rows)
    say(f"L1 = L2 + quarantine + duplicates, L2 = L3 = L4: {_text(summary.readings_conserved)}")
    say(f"kWh L2 = L3 = L4: {_text(summary.kWh_conserved)}")


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count:,} days"
