"""``iot-platform migrate``: create or update the schema."""

from __future__ import annotations

import click

from iot_platform.cli.output import echo_json, say
from iot_platform.clickhouse import migrations
from iot_platform.clickhouse.client import connect
from iot_platform.clickhouse.embedded_server import running_server
from iot_platform.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the names of the applied files as one line of JSON.")
def migrate(as_json: bool) -> None:
    """Create the database if it does not exist, and apply those files in sql/ that are not applied yet.

    It can be repeated, and run by several processes at once. Fails if an applied file was edited later.
    """
    settings = Settings()
    with running_server(settings) as endpoint:
        migrations.create_database(endpoint, settings)
        client = connect(endpoint, settings)
        try:
            names = migrations.migrate(client, settings)
        finally:
            client.close()
    if as_json:
        echo_json({"database": settings.clickhouse_database, "applied": names})
    else:
        say("\n".join(f"applied {name}" for name in names) or "The schema is up to date.")
