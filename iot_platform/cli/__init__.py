"""The ``iot-platform`` command: one module per subcommand, imported only when it is used."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import click
from clickhouse_connect.driver.exceptions import ClickHouseError
from pydantic import ValidationError
from pydantic_settings import SettingsError

from iot_platform.errors import PlatformError
from iot_platform.security.escaping import escape_lines
from iot_platform.security.private_files import keep_new_files_private

# Sections of --help: each command with the place of its code and its line in --help. The code is imported only when the
# command runs, so --help imports nothing heavy.
SECTIONS = {
    "Run the platform": {
        "demo": ("iot_platform.cli.demo:demo", "Start everything with simulated meters and 30 days of readings."),
        "up": ("iot_platform.cli.up:up", "Run ClickHouse, Dagster and the dashboard until stopped."),
        "dashboard": (
            "iot_platform.cli.dashboard:dashboard",
            "Show the LookML dashboard as a web page, without Looker.",
        ),
        "db": ("iot_platform.cli.db:db", "Run or stop the embedded ClickHouse; show how to connect to it."),
        "migrate": ("iot_platform.cli.migrate:migrate", "Create or update the database schema from sql/."),
    },
    "Bring in data": {
        "load": ("iot_platform.cli.load:load", "Load readings or device metadata from files."),
        "loads": ("iot_platform.cli.loads:loads", "List what was loaded: files, streams, simulated meters."),
        "unload": ("iot_platform.cli.loads:unload", "Take a load out of every layer again."),
        "mappings": ("iot_platform.cli.mappings:mappings", "List, show and check mapping files for other suppliers."),
        "ingest": ("iot_platform.cli.ingest:ingest", "Accept a stream of readings on standard input."),
        "simulate": ("iot_platform.cli.simulate:simulate", "Write the readings of the simulated meters."),
        "limits": ("iot_platform.cli.limits:limits", "Show and set which readings are plausible."),
        "crm-stub": (
            "iot_platform.cli.crm_stub:crm_stub",
            "Serve device metadata from a CSV file like a CRM, for tests.",
        ),
    },
    "Verify and query": {
        "status": ("iot_platform.cli.layers:status", "Show the content of each layer and its unverified days."),
        "prove": ("iot_platform.cli.layers:prove", "Verify each day of each layer; rebuild days that differ."),
        "sql": ("iot_platform.cli.sql:sql", "Run one SQL statement and print its result."),
        "lookml": ("iot_platform.cli.lookml:lookml", "Check the LookML project; show the SQL of its queries."),
        "alerts": ("iot_platform.cli.alerts:alerts", "Show current problems; send a test alert."),
    },
}
COMMANDS = {name: place for section in SECTIONS.values() for name, (place, _) in section.items()}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="iot-platform")
def cli() -> None:
    """An open data platform for the power usage of IoT meters: Dagster assets on ClickHouse.

    All state is stored in the directory IOT_HOME (default: .iot). Commands use the ClickHouse server in
    IOT_CLICKHOUSE_URL. When that is not set, they use the embedded server of IOT_HOME: they start it if it is not
    running, and stop it when they end.
    """


def main(*args: Any, **kwargs: Any) -> None:
    """Run the command line; expected errors become one message on stderr and exit code 1.

    Files that it and its child processes write are readable by this user only.
    """
    keep_new_files_private()
    for warning in _misspelled_settings():
        click.echo(escape_lines(f"Warning: {warning}"), err=True)
    try:
        cli(*args, **kwargs)
    except ValidationError as error:
        problems = "; ".join(f"IOT_{'__'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        _fail(f"A setting is invalid. {problems}")
    except SettingsError as error:
        # Its text: error parsing value for field "crm_fields" from source ...
        _, name, _ = str(error).split('"', 2)
        _fail(f"A setting is invalid. IOT_{name.upper()}: is not JSON")
    except (PlatformError, ClickHouseError) as error:
        _fail(str(error))
    except OSError as error:
        # A file that cannot be used, or a full disk. Other errors, such as a broken pipe, are not expected here.
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _fail(f"{error.filename or 'The disk of IOT_HOME'}: {error.strerror}")


def _misspelled_settings() -> Iterator[str]:
    """Variables that look like a setting and are none; others that begin with IOT_ may belong to other programs."""
    given = [name for name in os.environ if name.startswith("IOT_")]
    if not given:
        return
    from iot_platform.security.secret_files import SUFFIX
    from iot_platform.settings import SECRETS, Settings

    known = {f"IOT_{name.upper()}" for name in Settings.model_fields}
    known |= {f"IOT_{name.upper()}{SUFFIX}" for name in SECRETS}
    for name in given:
        # IOT_CHECKS__... is a part of a setting.
        start = name.partition("__")[0]
        if start not in known and (meant := difflib.get_close_matches(start, sorted(known), n=1, cutoff=0.85)):
            yield f"{name} is not a setting. Did you mean {meant[0]}?"


def _fail(message: str) -> NoReturn:
    # Not cli.output.say: that module imports more than --help needs.
    click.echo(escape_lines(f"Error: {message}"), err=True)
    sys.exit(1)
