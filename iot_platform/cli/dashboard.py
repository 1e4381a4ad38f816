"""``iot-platform dashboard``: serve the LookML dashboard."""

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
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DASHBOARD_PORT,
    show_default=True,
    help="Port of the page; if it is in use, a free one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON when the page is available.")
def dashboard(port: int, as_json: bool) -> None:
    """Serve the LookML dashboard of looker/ as a web page, with data from ClickHouse, until Ctrl-C or SIGTERM.

    Needs neither Looker nor the internet, and only reads data. While ClickHouse is unreachable, the tiles say so. The
    page has no login: it listens only on this machine unless IOT_HOST is set.
    """
    interrupt_on_stop_signals()
    settings = Settings()

    def ready(url: str) -> None:
        if as_json:
            echo_json({"url": url})
        else:
            say(f"Dashboard: {url}  Ctrl-C stops it.")

    try:
        with running_server(settings):
            serve(settings, free_port(port, settings.host), ready)
    except KeyboardInterrupt:
        say("Stopped.", err=True)
