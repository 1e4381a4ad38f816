"""The ``iot-platform`` command: one module per subcommand, imported only when it is used."""

from __future__ import annotations

import importlib
import sys
from typing import Any, NoReturn

import click
from clickhouse_connect.driver.exceptions import ClickHouseError
from pydantic import ValidationError

from iot_platform.errors import PlatformError
from iot_platform.security.escaping import escape_lines
from iot_platform.security.private_files import keep_new_files_private

# Subcommand -> where it is defined and what --help says of it (so that --help imports nothing heavy).
COMMANDS = {
    "demo": ("iot_platform.cli.demo:demo", "Bring up everything with simulated meters and the Dagster UI."),
    "up": ("iot_platform.cli.up:up", "Run ClickHouse, the Dagster UI and its daemon until stopped."),
    "dashboard": ("iot_platform.cli.dashboard:dashboard", "Show the LookML dashboard as a web page, without Looker."),
    "status": ("iot_platform.cli.layers:status", "Show what every layer holds and whether it is proved."),
    "prove": ("iot_platform.cli.layers:prove", "Prove every day of every layer; rebuild what differs."),
    "load": ("iot_platform.cli.load:load", "Load readings or device metadata from files."),
    "ingest": ("iot_platform.cli.ingest:ingest", "Accept a stream of readings on standard input."),
    "simulate": ("iot_platform.cli.simulate:simulate", "Send readings of simulated meters."),
    "crm-stub": ("iot_platform.cli.crm_stub:crm_stub", "Serve a CSV of devices as a CRM does, to rehearse with."),
    "limits": ("iot_platform.cli.limits:limits", "Show and set the upper limits of a reading."),
    "sql": ("iot_platform.cli.sql:sql", "Run one SQL statement and print its result."),
    "alerts": ("iot_platform.cli.alerts:alerts", "Try the channels of alerts; show what is wrong."),
    "migrate": ("iot_platform.cli.schema:migrate", "Bring the database up to the files in sql/."),
    "lookml": ("iot_platform.cli.lookml:lookml", "Check the LookML project, show its SQL."),
    "db": ("iot_platform.cli.db:db", "The embedded ClickHouse server."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="iot-platform")
def cli() -> None:
    """An open data platform for IoT power usage: Dagster assets on ClickHouse.

    All state lives in the directory IOT_HOME (default: .iot). With IOT_CLICKHOUSE_URL set, commands use that ClickHouse
    server; otherwise they start the embedded one of the home when it does not run, and stop it again.
    """


def main(*args: Any, **kwargs: Any) -> None:
    """Run the command line; expected errors become one message on stderr and exit code 1.

    Files that it and its child processes write are readable by this user only.
    """
    keep_new_files_private()
    try:
        cli(*args, **kwargs)
    except ValidationError as error:
        problems = "; ".join(f"IOT_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        _fail(f"A setting is not valid. {problems}")
    except (PlatformError, ClickHouseError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    # Here rather than from cli.output, which loads what --help does not need.
    click.echo(escape_lines(f"Error: {message}"), err=True)
    sys.exit(1)
