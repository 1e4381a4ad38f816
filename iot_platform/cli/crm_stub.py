"""``iot-platform crm-stub``: serve device metadata like HubSpot's CRM, for tests."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from pathlib import Path

import click
import uvicorn

from iot_platform.cli.output import echo_json, say
from iot_platform.devices.sources.hubspot_stub import Stub
from iot_platform.errors import PlatformError
from iot_platform.settings import Settings

# Only for tests, so never reachable from other machines, even if IOT_HOST is set.
HOST = "127.0.0.1"
FAULT = re.compile(r"(429|500|timeout):([1-9][0-9]*)")


def _faults(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, int]:
    matches = {value: FAULT.fullmatch(value) for value in values}
    if bad := [value for value, match in matches.items() if match is None]:
        raise click.BadParameter(f"{bad[0]!r} is not 429:N, 500:N or timeout:N with a whole number N >= 1.")
    return {match[1]: int(match[2]) for match in matches.values() if match}


@click.command("crm-stub")
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path), help="CSV file of devices. [default: IOT_DEVICES_CSV]"
)
@click.option("--port", type=click.IntRange(0, 65535), default=8199, show_default=True, help="Port; 0: any free one.")
@click.option(
    "--fail", "faults", multiple=True, callback=_faults, help="Let each Nth request fail: 429:N, 500:N, timeout:N."
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON when the server is available.")
def crm_stub(csv_file: Path | None, port: int, faults: dict[str, int], as_json: bool) -> None:
    """Serve device metadata from a CSV file with the interface of HubSpot's CRM, to test the CRM source.

    Set IOT_DEVICES_SOURCE=crm and IOT_CRM_URL to use it. It requires the token IOT_CRM_TOKEN and serves the object type
    IOT_CRM_OBJECT with the properties in IOT_CRM_FIELDS. The CSV may be edited while the server runs: a changed row is
    a changed object, a removed row an archived one. Each request is printed on standard output.
    """
    settings = Settings()
    if settings.crm_token is None or not settings.crm_token.get_secret_value():
        raise PlatformError("IOT_CRM_TOKEN is not set. Set it to the same text here and where the platform runs.")
    path = csv_file or Path(settings.devices_location)
    if not path.is_file():
        raise PlatformError(f"{path}: the file does not exist. Set another one with --csv.")
    stub = Stub(
        csv=path,
        object_type=settings.crm_object,
        token=settings.crm_token.get_secret_value(),
        fields=settings.crm_fields,
        modified=settings.crm_modified_property,
        faults=faults,
        log=say,
    )
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise PlatformError(f"Cannot listen on {HOST}:{port}: {error.strerror}. Choose another --port.") from error
        listener.listen()
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        if as_json:
            echo_json({"url": url})
        else:
            say(f"Serving {path} as a CRM. IOT_CRM_URL={url}")
        config = uvicorn.Config(stub.app(), log_level="error", access_log=False, lifespan="off", ws="none")
        # Do not wait for requests that hang on purpose.
        config.timeout_graceful_shutdown = 1
        uvicorn.Server(config).run(sockets=[listener])
