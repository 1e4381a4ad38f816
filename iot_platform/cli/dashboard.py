"""``iot-platform dashboard``."""

from __future__ import annotations

import click

from iot_platform.cli.output import echo_json, say
from iot_platform.clickhouse.embedded_server import running_server
from iot_platform.dashboard.serve import serve
from iot_platform.services.dashboard import DASHBOARD_PORT
from iot_platform.services.process import free_port
from iot_platform.services.signals import interrupt_on_stop_signals
from iot_platform.settings import Settings


@click.command()
@click.option("--port", default=DASHBOARD_PORT, show_default=True, help="Port of the page; a free one if taken.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON once it answers.")
def dashboard(port: int, as_json: bool) -> None:
    """Show the LookML dashboard of looker/ as a web page on ClickHouse, until Ctrl-C or SIGTERM.

    It needs no Looker and no internet, and only reads. An outage of ClickHouse is shown on the tiles, and over when
    ClickHouse is back. Whoever reaches the port sees the data: it binds to loopback unless IOT_HOST says otherwise.
    """
    interrupt_on_stop_signals()
    settings = Settings()

    def ready(url: str) -> None:
        if as_json:
            echo_json({"url": url})
        else:
            say(f"Dashboard: {url}  Ctrl-C ends it.")

    try:
        with running_server(settings):
            serve(settings, free_port(port, settings.host), ready)
    except KeyboardInterrupt:
        say("Stopped.", err=True)
