"""Metadata entries of a refresh of the device metadata: what it reports to Dagster."""

from __future__ import annotations

import dagster as dg

from iot_platform.defs.table_entries import Entries, markdown_table
from iot_platform.devices.describe import CHANGE_COLUMNS, ENERGY_COLUMNS, bounded, change_rows, energy_rows
from iot_platform.devices.refresh import RefreshResult
from iot_platform.devices.restatement import Restatement
from iot_platform.devices.sources.source import Delivery, Source
from iot_platform.layers.catalog import BY_DEVICE_HOURLY, L3, partition_day
from iot_platform.security.escaping import escape_line

ROWS_SHOWN = 50


def source_entries(source: Source, delivery: Delivery) -> Entries:
    """What was read, from where, and up to which position."""
    return {
        "source": dg.MetadataValue.text(source.name),
        "location": dg.MetadataValue.text(escape_line(source.location)),
        "read": dg.MetadataValue.text("all" if delivery.is_full else "what has changed"),
        "rows_read": len(delivery.devices),
        "position": dg.MetadataValue.text(escape_line(delivery.position)),
    }


def refresh_entries(result: RefreshResult) -> Entries:
    """Counts of versions, and of days and readings that get other metadata; and notes, if there are any."""
    notes = "\n\n".join(map(escape_line, result.notes))
    return {
        **result.counts,
        **({"notes": dg.MetadataValue.text(notes)} if notes else {}),
        "days_with_other_metadata": len(result.affected),
        "readings_with_other_metadata": int(result.affected["readings"].sum()),
    }


def refresh_tables(result: RefreshResult) -> Entries:
    """The first versions that were added."""
    rows = change_rows(result.changes, ROWS_SHOWN)
    table = markdown_table(CHANGE_COLUMNS, rows)
    return {"changes": _bounded(table, len(rows), len(result.changes), "versions")}


def restatement_entries(restatement: Restatement) -> Entries:
    """Counts of rebuilt days, and the energy on them before and after."""
    energy = restatement.energy
    kWh_before, kWh_after = energy.total()
    return {
        "days_restated": len(restatement.days),
        "l3_days_rebuilt": restatement.rebuilt[L3.name],
        "l4_days_rebuilt": restatement.rebuilt[BY_DEVICE_HOURLY.name],
        "kWh_before": float(kWh_before),
        "kWh_after": float(kWh_after),
        "more_readings": energy.more_readings(),
    }


def restatement_tables(restatement: Restatement) -> Entries:
    """The first restated days, and the energy per customer on all of them before and after."""
    energy = restatement.energy
    days = [str(partition_day(day)) for day in restatement.days]
    # The last row is the total of all customers. It is not counted.
    rows = energy_rows(energy, ROWS_SHOWN)
    table = markdown_table(ENERGY_COLUMNS, rows)
    listed = ", ".join(days[:ROWS_SHOWN]) or "none"
    return {
        "days": _bounded(listed, min(len(days), ROWS_SHOWN), len(days), "days"),
        "kWh_per_customer": _bounded(table, len(rows) - 1, len(energy.customers()), "customers with another energy"),
    }


def _bounded(text: str, shown: int, total: int, things: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"{text}\n\n{bounded(shown, total, things)}".rstrip())
