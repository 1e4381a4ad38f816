"""``iot-platform load devices``: load device metadata from a CSV file."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Any, cast

import click
from clickhouse_connect.driver.client import Client
from rich.progress import Progress

from iot_platform.cli.device_ids import DEVICE_IDS
from iot_platform.cli.output import echo_json, say, show_table
from iot_platform.clickhouse.session import migrated_session
from iot_platform.devices.describe import CHANGE_COLUMNS, ENERGY_COLUMNS, bounded, change_rows, energy_rows
from iot_platform.devices.meter_ids import IdKind
from iot_platform.devices.refresh import RefreshResult
from iot_platform.devices.restatement import Restatement, restate
from iot_platform.devices.source_refresh import refresh_from_source
from iot_platform.devices.sources.csv_file import LoadedFile
from iot_platform.errors import ProofError
from iot_platform.layers.catalog import partition_day
from iot_platform.settings import Settings

ROWS_SHOWN = 20


def _building_types(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for value in values:
        name, equals, wanted = (part.strip() for part in value.partition("="))
        if not (name and equals and wanted):
            raise click.BadParameter(f"{value!r} is not of the form FROM=TO.", ctx, param)
        found[name] = wanted
    return found


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@DEVICE_IDS
@click.option("--complete", is_flag=True, help="The file lists every device: close those that are missing from it.")
@click.option("--dry-run", is_flag=True, help="Only show what would change, and on which days.")
@click.option(
    "--building-type-as",
    "building_types",
    multiple=True,
    metavar="FROM=TO",
    callback=_building_types,
    help="Store the building type FROM, in any case and with any blanks, as TO; also IOT_BUILDING_TYPES.",
)
@click.option("--no-restate", is_flag=True, help="Leave the affected days unverified, until the next refresh or prove.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one line of JSON.")
def devices(
    file: Path,
    device_ids: str,
    complete: bool,
    dry_run: bool,
    building_types: dict[str, str],
    no_restate: bool,
    as_json: bool,
) -> None:
    """Load device metadata from a CSV file, and restate the days that it changes.

    Columns: device_id, customer_id, building_type, latitude, longitude, and optionally valid_from (a whole UTC hour)
    and time_zone (e.g. Europe/London; default: that of the coordinates). A row with valid_from is valid from then on.
    If a device has one row, without valid_from, that is its metadata now: a new device has always had it, a changed
    one has it from the current hour on.

    The file may have the header in any case, commas, semicolons, tabs or bars between columns, decimal commas, and be
    UTF-8, UTF-16 or Windows-1252. It warns of building types that differ only in case or blanks, and of places in the
    sea, with latitude and longitude swapped, or far from all other meters.

    If any row is invalid, nothing is changed; the first invalid rows are listed with their lines. With --complete, a
    device that is not in the file is closed from the current hour on; its history stays. A file that lacks too many
    known devices is refused (IOT_MAX_CLOSED_SHARE).

    It shows what is new, changed and closed, rebuilds L3 and L4 of the days whose readings get other metadata, and
    shows the energy per customer on these days before and after. The table metadata_refreshes records the attempt.

    Exit code: 0 if it is done (with --dry-run: if it could be done). 1 if the file cannot be used (then nothing was
    changed), or if a day could not be restated (then the metadata is stored, and the day is unverified).
    """
    settings = Settings()
    source = LoadedFile(
        str(file), complete=complete, timeout_s=settings.source_timeout_s, max_bytes=settings.devices_max_bytes
    )
    with migrated_session(settings) as client:
        result = refresh_from_source(
            client,
            source,
            dt.datetime.now(dt.UTC),
            device_ids=cast(IdKind, device_ids),
            building_types={**settings.building_types, **building_types},
            dry_run=dry_run,
            max_closed_share=settings.max_closed_share,
        ).result
        if not as_json:
            _show_difference(file, result, dry_run=dry_run)
        outcome = None if dry_run or no_restate else _restate(client, result, quiet=as_json)
    if as_json:
        echo_json(_as_json(file, result, outcome, dry_run=dry_run))
    else:
        _show_outcome(result, outcome, dry_run=dry_run)
    if isinstance(outcome, ProofError):
        raise outcome


def _restate(client: Client, result: RefreshResult, *, quiet: bool) -> Restatement | ProofError:
    """Restate the affected days. An error is returned, because the change that was stored before it is shown too."""
    try:
        with Progress(transient=True, disable=quiet or not sys.stderr.isatty()) as progress:
            task = progress.add_task("Restating", total=None)
            return restate(
                client, result, progress=lambda done, days: progress.update(task, completed=done, total=days)
            )
    except ProofError as error:
        return error


def _show_difference(file: Path, result: RefreshResult, *, dry_run: bool) -> None:
    counts = ", ".join(f"{count:,} {name}" for name, count in result.counts.items())
    say(f"{file}: {counts} devices{' (dry run)' if dry_run else ''}.")
    if len(result.changes):
        rows = change_rows(result.changes, ROWS_SHOWN)
        show_table(CHANGE_COLUMNS, rows)
        if cut := bounded(len(rows), len(result.changes), "versions"):
            say(f"{cut} All: --json")
    for note in result.notes:
        say(note)
    if result.days:
        readings = int(result.affected["readings"].sum())
        say(f"{readings:,} readings on {len(result.affected):,} days get other metadata.")
        with_changed_limits = len(result.days) - len(result.affected)
        if with_changed_limits > 0:
            say(f"On {with_changed_limits:,} more days other limits per building type apply to readings.")


def _show_outcome(result: RefreshResult, outcome: Restatement | ProofError | None, *, dry_run: bool) -> None:
    if isinstance(outcome, Restatement):
        _show_restatement(result, outcome)
    elif dry_run:
        say("Nothing was changed.")
    elif result.days and outcome is None:
        say("These days are unverified. The next refresh restates them, or run `iot-platform prove`.")


def _show_restatement(result: RefreshResult, restatement: Restatement) -> None:
    if not restatement.days:
        return
    rebuilt = ", ".join(f"{layer} {count:,}" for layer, count in restatement.rebuilt.items() if count) or "none"
    say(f"{len(restatement.days):,} days restated; rebuilt: {rebuilt}.")
    if not result.days:
        return
    rows = energy_rows(restatement.energy, ROWS_SHOWN)
    show_table(ENERGY_COLUMNS, rows)
    if cut := bounded(len(rows) - 1, len(restatement.energy.customers()), "customers whose energy changed"):
        say(f"{cut} All: --json")
    if more := restatement.energy.more_readings():
        say(f"{more:+,} readings on these days: they arrived meanwhile, or another limit applies to them now.")


def _as_json(
    file: Path, result: RefreshResult, outcome: Restatement | ProofError | None, *, dry_run: bool
) -> dict[str, Any]:
    changes = [dict(zip(CHANGE_COLUMNS, row, strict=True)) for row in change_rows(result.changes)]
    affected = [
        {"day": partition_day(row["partition_id"]), "devices": row["devices"], "readings": row["readings"]}
        for row in result.affected.to_dict("records")
    ]
    found: dict[str, Any] = {
        "file": str(file),
        "dry_run": dry_run,
        **result.counts,
        "device_ids": result.device_ids,
        "notes": result.notes,
        "changes": changes,
        "affected": affected,
        "touched": {layer.name: sorted(map(partition_day, days), key=str) for layer, days in result.touched.items()},
        "restated": None,
        "problem": str(outcome) if isinstance(outcome, ProofError) else None,
    }
    if isinstance(outcome, Restatement):
        kWh_before, kWh_after = outcome.energy.total()
        found["restated"] = {
            "days": [partition_day(day) for day in outcome.days],
            "rebuilt": outcome.rebuilt,
            "customers": [
                {
                    "customer_id": each.customer_id,
                    "kWh_before": float(each.kWh_before),
                    "kWh_after": float(each.kWh_after),
                }
                for each in outcome.energy.customers()
            ],
            "kWh_before": float(kWh_before),
            "kWh_after": float(kWh_after),
            "more_readings": outcome.energy.more_readings(),
        }
    return found
