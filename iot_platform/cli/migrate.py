"""``iot-platform migrate``: create or update the schema."""

from __future__ import annotations

import sys

import click
from clickhouse_connect.driver.client import Client
from rich.progress import Progress

from iot_platform.cli.output import echo_json, say
from iot_platform.clickhouse import migrations
from iot_platform.clickhouse.client import connect
from iot_platform.clickhouse.embedded_server import running_server
from iot_platform.errors import UnfilledTablesError
from iot_platform.layers.filling import Plan, fill, plan
from iot_platform.settings import Settings

# A day may begin while the days before are filled.
ROUNDS = 5


@click.command()
@click.option("--plan", "only_plan", is_flag=True, help="Show how long it would take and how much disk it needs.")
@click.option("--json", "as_json", is_flag=True, help="Print the names of the applied files as one line of JSON.")
def migrate(only_plan: bool, as_json: bool) -> None:
    """Create the database if it does not exist, and apply those files in sql/ that are not applied yet.

    It can be repeated, and run by several processes at once. Fails if an applied file was edited later. A change of the
    layers first fills new tables beside the old ones, day by day, while readings arrive. If it is interrupted, the next
    call continues.
    """
    settings = Settings()
    with running_server(settings) as endpoint:
        migrations.create_database(endpoint, settings)
        client = connect(endpoint, settings)
        try:
            if only_plan:
                _show(plan(client), as_json)
                return
            names = _migrate(client, settings)
        finally:
            client.close()
    if as_json:
        echo_json({"database": settings.clickhouse_database, "applied": names})
    else:
        say("\n".join(f"applied {name}" for name in names) or "The schema is up to date.")


def _migrate(client: Client, settings: Settings) -> list[str]:
    client.command(migrations.RECORD_TABLE)
    before = migrations.applied(client)
    for attempts_left in reversed(range(ROUNDS)):
        try:
            migrations.migrate(client, settings)
            break
        except UnfilledTablesError:
            if not attempts_left:
                raise
            with Progress(transient=True, disable=not sys.stderr.isatty()) as progress:
                task = progress.add_task("Filling the new tables", total=None)
                fill(client, lambda done, total: progress.update(task, completed=done, total=total))  # noqa: B023
    return [name for name in migrations.applied(client) if name not in before]


def _show(found: Plan, as_json: bool) -> None:
    if as_json:
        echo_json({"days": len(found.days), "readings": found.readings, "bytes": found.bytes, "seconds": found.seconds})
    elif found.days:
        say(
            f"{len(found.days):,} days with {found.readings:,} readings are to be filled: about "
            f"{found.seconds / 60:,.0f} minutes, and {found.bytes / 1e9:,.1f} GB of disk until the old tables are "
            "dropped at the end. Readings may arrive meanwhile."
        )
    else:
        say("No days are to be filled.")
