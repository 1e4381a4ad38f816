"""``iot-platform crm-stub``."""

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

# Never reachable from elsewhere, whatever IOT_HOST says: it is a rehearsal.
HOST = "127.0.0.1"


FAULT = re.compile(r"(429|500|timeout):([1-9][0-9]*)")


def _faults(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, int]:
    matches = {value: FAULT.fullmatch(value) for value in values}
    if bad := [value for value, match in matches.items() if match is None]:
        raise click.BadParameter(f"{bad[0]!r} is not 429:N, 500:N or timeout:N with a number N from 1 on.")
    return {match[1]: int(match[2]) for match in matches.values() if match}


@click.command("crm-stub")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Devices to serve. [default: IOT_DEVICES_CSV]")
@click.option("--port", type=click.IntRange(0, 65535), default=8199, show_default=True, help="Port; 0: any free one.")
@click.option(
    "--fail", "faults", multiple=True, callback=_faults, help="Each Nth request fails: 429:N, 500:N, timeout:N."
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON once it answers.")
def crm_stub(csv_file: Path | None, port: int, faults: dict[str, int], as_json: bool) -> None:
    """Serve a CSV of devices as HubSpot's CRM does, to rehearse with: IOT_DEVICES_SOURCE=crm and IOT_CRM_URL.

    It demands the token IOT_CRM_TOKEN and serves the object type IOT_CRM_OBJECT with the properties of
    IOT_CRM_FIELDS. Change the CSV while it runs: a changed row is a changed object, a removed one is archived. Each
    request is listed on standard output.
    """
    settings = Settings()
    if settings.crm_token is None or not settings.crm_token.get_secret_value():
        raise PlatformError("Set IOT_CRM_TOKEN to any text, here and where the platform runs.")
    path = csv_file or Path(settings.devices_location)
    if not path.is_file():
        raise PlatformError(f"{path}: there is no such file to serve. Name one with --csv.")
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
            say(f"The CRM answers at {url} with {path}. IOT_CRM_URL={url}")
        config = uvicorn.Config(stub.app(), log_level="error", access_log=False, lifespan="off", ws="none")
        # A request that hangs on purpose would keep it from ending.
        config.timeout_graceful_shutdown = 1
        uvicorn.Server(config).run(sockets=[listener])
