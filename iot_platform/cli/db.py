"""``iot-platform db``: run the embedded ClickHouse server, show how to connect, stop it."""

from __future__ import annotations

import sys
from urllib.parse import quote

import click

from iot_platform.cli.output import echo_json, say
from iot_platform.clickhouse.embedded_server import server_options, stop_server
from iot_platform.clickhouse.endpoint import endpoint
from iot_platform.clickhouse_embedded.errors import DirectoryInUseError, EmbeddedServerError, MissingPackageError
from iot_platform.errors import ServerError
from iot_platform.security.private_files import state_directory
from iot_platform.settings import Settings


@click.group()
def db() -> None:
    """Run and stop the embedded ClickHouse server, and show how to connect."""


@db.command()
@click.option("--host", default=None, help="Address to bind to. [default: IOT_HOST, 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=None, help="Port; 0: any free port. [default: IOT_CLICKHOUSE_PORT]"
)
@click.option("--stop-when-unused", is_flag=True, help="Stop when no command needs the server.")
def serve(host: str | None, port: int | None, stop_when_unused: bool) -> None:
    """Run the embedded server of this home until it is stopped."""
    from iot_platform.clickhouse_embedded.serve import serve

    settings = Settings()
    state_directory(settings.root, settings.clickhouse_dir.name)
    options = server_options(settings, host=host, port=port, stop_when_unused=stop_when_unused)
    try:
        serve(options, lambda url: say(f"ClickHouse answers at {url}"))
    except DirectoryInUseError as error:
        advice = " Use that server, or stop it with: iot-platform db stop" if error.record else ""
        say(f"Error: {error}{advice}", err=True)
        sys.exit(error.exit_code)
    except MissingPackageError as error:
        raise ServerError(f"{error}, or set IOT_CLICKHOUSE_URL to a ClickHouse server.") from error
    except EmbeddedServerError as error:
        raise ServerError(str(error)) from error


@db.command()
@click.option("--show-password", is_flag=True, help="Include the password.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def url(show_password: bool, as_json: bool) -> None:
    """Print the URL of the ClickHouse server of this home."""
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
        echo_json({**content, "password": found.password} if show_password else content)
        return
    credentials = quote(found.username, safe="") + (f":{quote(found.password, safe='')}" if show_password else "")
    say(found.url.replace("://", f"://{credentials}@", 1))


@db.command()
def stop() -> None:
    """Stop the embedded server of this home. Running queries get a few seconds to finish."""
    stopped = stop_server(Settings())
    say(f"Stopped the server with pid {stopped.pid}." if stopped else "No server is running for this home.")
