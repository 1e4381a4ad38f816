"""``iot-platform migrate``: create or update the schema."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click
from rich.progress import Progress

from iot_platform.cli.output import echo_json, say
from iot_platform.clickhouse import migrations
from iot_platform.clickhouse.client import connect
from iot_platform.clickhouse.embedded_server import running_server
from iot_platform.clickhouse.statements import Migration
from iot_platform.errors import MissingDatabaseError
from iot_platform.layers import filling
from iot_platform.layers.catalog import partition_day
from iot_platform.layers.upgrade import upgrade
from iot_platform.settings import Settings

# How often a line is written where there is no terminal for a progress bar.
LINE_EVERY_S = 30.0


@click.command()
@click.option(
    "--plan",
    "only_plan",
    is_flag=True,
    help="Only show what would be done, how long it takes and how much disk space it needs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the applied files, or the plan, as one line of JSON.")
def migrate(only_plan: bool, as_json: bool) -> None:
    """Create the database if it does not exist, and apply those files in sql/ that are not applied yet.

    It can be repeated, and run by several processes at once. Fails if an applied file was edited later. A change of the
    layers first fills new tables beside the old ones, newest days first, while readings arrive and the previous
    version keeps running. If it is interrupted, the next call continues.
    """
    settings = Settings()
    with running_server(settings) as endpoint:
        if not only_plan:
            migrations.create_database(endpoint, settings)
        try:
            client = connect(endpoint, settings)
        except MissingDatabaseError:
            _say_or_echo("The database does not exist yet; `iot-platform migrate` creates it.", {}, as_json)
            return
        try:
            if only_plan:
                pending = migrations.pending(client, settings)
                _show(filling.plan(client, pending), pending, as_json)
                return
            with _progress() as report:
                names = upgrade(client, settings, report)
        finally:
            client.close()
    text = "\n".join(f"applied {name}" for name in names) or "The schema is up to date."
    _say_or_echo(text, {"database": settings.clickhouse_database, "applied": names}, as_json)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal; elsewhere a line now and then."""
    said_at = 0.0
    with Progress(transient=True, disable=not sys.stderr.isatty()) as bar:

        def report(done: int, total: int) -> None:
            nonlocal said_at
            task = bar.task_ids[0] if bar.task_ids else bar.add_task("Filling the new tables")
            bar.update(task, completed=done, total=total)
            if bar.disable and total and (time.monotonic() - said_at > LINE_EVERY_S or done == total):
                said_at = time.monotonic()
                say(f"Filling the new tables: {done:,} of {total:,} readings.", err=True)

        yield report


def _show(plan: filling.Plan, pending: list[Migration], as_json: bool) -> None:
    names = [migration.name for migration in pending]
    text = "To be applied: " + (", ".join(names) or "nothing. The schema is up to date") + "."
    if plan.days:
        minutes = f"about {plan.seconds / 60:,.0f} minutes" if plan.seconds >= 90 else "less than two minutes"
        text += (
            f"\n{len(plan.days):,} days with {plan.readings:,} readings are to be filled "
            f"({partition_day(plan.days[-1])} to {partition_day(plan.days[0])}): {minutes}, and about "
            f"{plan.bytes / 1e9:,.2f} GB of disk until the old tables are dropped at the end; "
            f"{plan.free_bytes / 1e9:,.1f} GB are free. Readings may arrive meanwhile, and the previous version keeps "
            "running."
        )
    if plan.own_objects:
        text += "\nYour own objects that you must move first (docs/schema-evolution.md): " + ", ".join(plan.own_objects)
    _say_or_echo(text, {**asdict(plan), "pending": names}, as_json)


def _say_or_echo(text: str, value: dict[str, Any], as_json: bool) -> None:
    if as_json:
        echo_json(value)
    else:
        say(text)
