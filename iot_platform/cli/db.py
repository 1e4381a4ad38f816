"""The embedded ClickHouse server: run it, say how to connect, stop it."""

from __future__ import annotations

import ipaddress
import json
import sys
from urllib.parse import quote

import click

from iot_platform.cli.output import say
from iot_platform.clickhouse.embedded_server import EXIT_IN_USE, stop_server
from iot_platform.clickhouse.endpoint import endpoint
from iot_platform.errors import ServerError
from iot_platform.settings import Settings


@click.group()
def db() -> None:
    """The embedded ClickHouse server."""


@db.command()
@click.option("--host", default=None, help="Address to bind to (default: IOT_HOST, 127.0.0.1).")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=None, help="Port; 0: any free one. [default: IOT_CLICKHOUSE_PORT]"
)
@click.option("--stop-when-unused", is_flag=True, help="Stop when no command needs the server any more.")
def serve(host: str | None, port: int | None, stop_when_unused: bool) -> None:
    """Serve the data directory of this home over ClickHouse's HTTP interface, until stopped."""
    from iot_platform.clickhouse_embedded.serve import DirectoryInUseError, serve

    settings = Settings()
    address = host or settings.host
    if not _is_loopback(address):
        say(
            f"Warning: {address} is reachable from other machines. Queries and the password travel unencrypted.",
            err=True,
        )
    try:
        serve(settings, address, port, stop_when_unused, lambda url: say(f"ClickHouse answers at {url}"))
    except DirectoryInUseError as error:
        say(f"Error: {error}", err=True)
        sys.exit(EXIT_IN_USE)


@db.command()
@click.option("--show-password", is_flag=True, help="Include the password.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def url(show_password: bool, as_json: bool) -> None:
    """Print how to connect to the ClickHouse server of this home."""
    found = endpoint(Settings())
    if found is None:
        raise ServerError("No server is running for this home. Start one with: iot-platform db serve")
    if as_json:
        content = {
            "url": found.url,
            "host": found.host,
            "port": found.port,
            "username": found.username,
            "database": found.database,
            "secure": found.secure,
        }
        say(json.dumps({**content, "password": found.password} if show_password else content))
        return
    credentials = quote(found.username, safe="") + (f":{quote(found.password, safe='')}" if show_password else "")
    say(found.url.replace("://", f"://{credentials}@", 1))


@db.command()
def stop() -> None:
    """Stop the embedded server of this home; running queries get a few seconds to finish."""
    stopped = stop_server(Settings())
    say(f"Stopped the server with pid {stopped.pid}." if stopped else "No server is running for this home.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
