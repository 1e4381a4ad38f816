"""``iot-platform prove`` and ``iot-platform status``."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import asdict
from typing import Any

import click
from rich.progress import Progress

from iot_platform.cli.output import echo_json, say, show_summary, show_table
from iot_platform.clickhouse.session import migrated_session
from iot_platform.layers import proof as proofs
from iot_platform.layers.catalog import DERIVED_LAYERS, IMPOSSIBLE_TIMES, LAYERS_BY_NAME, partition_day
from iot_platform.layers.comparison import Proof
from iot_platform.layers.partitions import partitions
from iot_platform.layers.summary import summarize
from iot_platform.settings import Settings

DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--from", "first", type=DAY, help="First UTC day; default: the oldest one.")
@click.option("--to", "last", type=DAY, help="Last UTC day; default: the newest one.")
@click.option(
    "--layer", "names", multiple=True, type=click.Choice(list(LAYERS_BY_NAME)), help="Only this layer (repeatable)."
)
@click.option("--full", is_flag=True, help="Compare verified days again, too.")
@click.option("--dry-run", is_flag=True, help="Only show what differs; rebuild nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcomes as one line of JSON.")
def prove(
    first: dt.datetime | None,
    last: dt.datetime | None,
    names: tuple[str, ...],
    full: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Verify the data: compare each day of each layer with its definition, and rebuild the days that differ.

    Only unverified days are compared: those to which something was written, or whose metadata or limits have changed,
    since they were verified. --full compares all days. Readings may keep arriving meanwhile; writers never wait for
    more than a second.

    Exit code: 0 if everything is equal (after rebuilds), 1 if something still differs.
    """
    if first and last and last < first:
        raise click.UsageError(f"--to {last:%Y-%m-%d} is before --from {first:%Y-%m-%d}.")
    layers = [layer for layer in DERIVED_LAYERS if not names or layer.name in names]
    with migrated_session(Settings()) as client:
        wanted = [name for name in partitions(client, layers) if _in_range(name, first, last)]
        with Progress(transient=True, disable=as_json or not sys.stderr.isatty()) as progress:
            task = progress.add_task("Verifying", total=len(wanted) * len(layers))
            done = []
            for proof in proofs.prove_all(client, wanted, layers, repair=not dry_run, only_unverified=not full):
                done.append(proof)
                progress.update(task, advance=1, description=f"Verifying {proof.layer} {proof.partition}")
    all_equal = all(proof.is_equal for proof in done)
    unchanged = sum(layer.has_impossible_times or name != IMPOSSIBLE_TIMES for layer in layers for name in wanted)
    unchanged -= len(done)
    if as_json:
        echo_json({"proved": all_equal, "unchanged": unchanged, "proofs": [_as_json(proof) for proof in done]})
    elif not wanted and (first or last):
        say("There are no readings in this period: nothing was verified.")
    else:
        _show(done, unchanged, dry_run=dry_run)
    sys.exit(0 if all_equal else 1)


def _in_range(partition: str, first: dt.datetime | None, last: dt.datetime | None) -> bool:
    day = partition_day(partition)
    if day is None:
        return first is None and last is None
    return (first is None or first.date() <= day) and (last is None or day <= last.date())


def _as_json(proof: Proof) -> dict[str, Any]:
    values = asdict(proof)
    for name in ("found", "proved", "expected"):
        values[name]["kWh"] = float(values[name]["kWh"])
    return {**values, "difference": proof.difference()}


def _show(done: list[Proof], unchanged: int, *, dry_run: bool) -> None:
    different = [proof for proof in done if proof.difference()]
    if different:
        show_table(
            ("layer", "day", "found", "now"),
            [
                (p.layer, p.partition, p.difference(), "rebuilt, equal" if p.is_equal else "DIFFERENT")
                for p in different
            ],
        )
    seconds = sum(proof.duration_s for proof in done)
    verb = "compared" if dry_run else "verified"
    say(f"{len(done):,} partitions {verb} in {seconds:.1f} s; {len(different):,} of them differed.")
    if unchanged:
        say(f"{unchanged:,} partitions have not changed since they were verified (--full compares them again).")
    if duplicates := sum(proof.duplicates for proof in done):
        say(f"{duplicates:,} duplicates and corrections on these days. L1 keeps all of them.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one line of JSON.")
def status(as_json: bool) -> None:
    """Show the rows, energy and days of each layer, whether they are verified, and whether the sums agree."""
    with migrated_session(Settings()) as client:
        summary = summarize(client)
    if as_json:
        echo_json(summary.as_json())
    else:
        show_summary(summary)
