"""``iot-platform loads`` and ``iot-platform unload``: list what was loaded, and take a load back."""

from __future__ import annotations

from dataclasses import asdict

import click
from clickhouse_connect.driver.client import Client

from iot_platform.cli.output import echo_json, say, show_table
from iot_platform.clickhouse.session import migrated_session
from iot_platform.layers.catalog import IMPOSSIBLE_TIMES, partition_day
from iot_platform.layers.comparison import Proof
from iot_platform.readings import unload as unloading
from iot_platform.readings.loads import Load, batches_of, find_load
from iot_platform.readings.loads import loads as stored_loads
from iot_platform.readings.unload import Contents, Selection
from iot_platform.settings import Settings

SHOWN = 20
DAYS_SHOWN = 10
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as one line of JSON.")


@click.command()
@click.argument("load_id", metavar="[ID]", required=False)
@click.option("--limit", type=click.IntRange(1), default=SHOWN, show_default=True, help="Most loads that are listed.")
@click.option("--all", "show_all", is_flag=True, help="List all loads.")
@JSON
def loads(load_id: str | None, limit: int, show_all: bool, as_json: bool) -> None:
    """List what was loaded, the newest first: files, streams, and the simulated meters.

    Readings and kWh are what was sent, without what was unloaded. Their days are UTC. A state "interrupted" means that
    the load was killed, or that a part of it was not accepted: load the file again to complete it.

    With an ID, or the beginning of one, list the batches of that load. The positions of a batch are rows of a file,
    lines of a stream, or seconds of the simulated meters; the last one is not part of it.
    """
    with migrated_session(Settings()) as client:
        if load_id is not None:
            _show_batches(client, find_load(client, load_id), as_json=as_json)
            return
        found = stored_loads(client, None if show_all else limit)
    if as_json:
        echo_json({"loads": [asdict(load) for load in found]})
    elif not found:
        say("Nothing was loaded yet.")
    else:
        columns = ("id", "state", "loaded (UTC)", "readings", "kWh", "meters", "first day", "last day", "what")
        show_table(columns, [_row(load) for load in found], text=_text)
        if not show_all and len(found) == limit:
            say(f"The newest {limit:,} loads; --all lists all.")


def _row(load: Load) -> tuple[object, ...]:
    began_at = f"{load.began_at:%Y-%m-%d %H:%M:%S}"
    sums = (load.readings, load.total_kWh, load.meters)
    return (load.id, load.state, began_at, *sums, load.first_day, load.last_day, load.description or load.source)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _show_batches(client: Client, load: Load, *, as_json: bool) -> None:
    batches = batches_of(client, load.source)
    if as_json:
        echo_json({"load": asdict(load), "batches": [asdict(batch) for batch in batches]})
        return
    say(f"Load {load.id}: {load.description or load.source}. State: {load.state}.")
    rows = [
        (
            str(batch.position_from),
            str(batch.position_to),
            batch.state,
            f"{batch.ingested_at:%Y-%m-%d %H:%M:%S}",
            batch.readings,
            batch.total_kWh,
            f"{batch.first_timestamp:%Y-%m-%d %H:%M}" if batch.readings else "",
            f"{batch.last_timestamp:%Y-%m-%d %H:%M}" if batch.readings else "",
        )
        for batch in batches
    ]
    show_table(("from", "to", "state", "arrived (UTC)", "readings", "kWh", "first reading", "last reading"), rows)


@click.command()
@click.argument("load_id", metavar="ID")
@click.option("--from", "first", type=int, help="Of a stream: unload its batches from this position on.")
@click.option("--to", "last", type=int, help="Of a stream: unload its batches before this position.")
@click.option("--dry-run", is_flag=True, help="Only show what would be taken out.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
def unload(load_id: str, first: int | None, last: int | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Take a load out of every layer: all its readings, and nothing else.

    `iot-platform loads` lists the IDs; the beginning of one is enough. It first shows what it takes and asks. Then it
    deletes the readings from L1 and verifies their days, so that the later layers are as if it had never been loaded;
    readings of other loads with the same meter and time appear again. The file can be loaded again afterwards.

    Of a stream, --from and --to select batches (`iot-platform loads ID` lists them). Their positions are used up: send
    the right readings as new lines.

    It may be killed at any time: run it again to complete it. While it is incomplete, nothing is written to this load.

    Exit code: 0 if it is done (with --dry-run: if it could be done). 1 if it was refused, or is not complete.
    """
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json does not ask: give --yes or --dry-run as well.")
    with migrated_session(Settings()) as client:
        load = find_load(client, load_id)
        selection = unloading.selection_of(load, first, last)
        found = unloading.contents(client, selection)
        if not as_json:
            _show_contents(load, selection, found)
        if dry_run:
            _finish(load, found, None, as_json=as_json)
            return
        if not yes:
            click.confirm("Take this out of every layer?", abort=True, err=True)
        proofs = unloading.unload(client, load, selection, found)
    _finish(load, found, proofs, as_json=as_json)


def _show_contents(load: Load, selection: Selection, found: Contents) -> None:
    part = (
        ""
        if selection == Selection(load.source)
        else f", positions {selection.position_from} to {selection.position_to}"
    )
    say(f"Load {load.id}{part}: {load.description or load.source}.")
    days = [_day(name) for name in found.days]
    more = f" ... {days[-1]}" if len(days) > DAYS_SHOWN else ""
    say(f"  Loaded {load.began_at:%Y-%m-%d %H:%M:%S} UTC. State: {load.state}.")
    say(
        f"  {found.readings:,} readings in {found.batches:,} batches, {found.total_kWh:,.3f} kWh, "
        f"{found.meters:,} meters, {len(days):,} days: {', '.join(days[:DAYS_SHOWN])}{more}"
    )
    if found.uncovered:
        say(f"  {found.uncovered:,} readings of other loads, for the same meters and times, appear again.")


def _day(partition: str) -> str:
    return "impossible times" if partition == IMPOSSIBLE_TIMES else str(partition_day(partition))


def _finish(load: Load, found: Contents, proofs: list[Proof] | None, *, as_json: bool) -> None:
    if as_json:
        rebuilt = None if proofs is None else sum(proof.was_rebuilt for proof in proofs)
        echo_json({"load": asdict(load), "unload": asdict(found), "done": proofs is not None, "rebuilt": rebuilt})
    elif proofs is None:
        say("Nothing was changed (--dry-run).")
    else:
        say(
            f"Unloaded. {len({proof.partition for proof in proofs}):,} days are verified again. It can be loaded again."
        )
