"""``iot-platform up``: run the platform's services until they are stopped."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial

import click

from iot_platform.cli.output import echo_json, say
from iot_platform.clickhouse.session import migrated_session
from iot_platform.services.dagster import running_dagster
from iot_platform.services.dashboard import DASHBOARD_PORT, running_dashboard
from iot_platform.services.home_lock import only_platform
from iot_platform.services.instance import environment
from iot_platform.services.process import free_port
from iot_platform.services.signals import interrupt_on_stop_signals
from iot_platform.services.supervision import UNHEALTHY_TIMEOUT_S, Watched, watch
from iot_platform.settings import Settings

DAGSTER_PORT = 3000


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DAGSTER_PORT,
    show_default=True,
    help="Port of the Dagster UI; if it is in use, a free one.",
)
@click.option("--dashboard/--no-dashboard", "with_dashboard", default=True, help="Also serve the LookML dashboard.")
@click.option(
    "--dashboard-port",
    type=click.IntRange(0, 65535),
    default=DASHBOARD_PORT,
    show_default=True,
    help="Port of the dashboard; if it is in use, a free one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON once everything is healthy.")
def up(port: int, with_dashboard: bool, dashboard_port: int, as_json: bool) -> None:
    """Run the embedded ClickHouse (unless IOT_CLICKHOUSE_URL is set), Dagster and the dashboard until stopped.

    Updates the schema first. Reports when all services are healthy, checks them every 30 seconds, and restarts a
    process that has ended. Ctrl-C or SIGTERM stops everything that it started. Sensors and schedules run if
    IOT_AUTOMATION_ENABLED is set, or if they are switched on in the Dagster UI. Dagster stores its runs in DAGSTER_HOME
    (default: a directory of IOT_HOME).

    Exit code 0: stopped. 1: a service did not start, ended repeatedly, or was unhealthy for ten minutes; the message
    names its log in IOT_HOME/logs.
    """
    interrupt_on_stop_signals()
    settings = Settings()
    overrides = {name: os.environ[name] for name in ("DAGSTER_HOME", "IOT_DASHBOARD_URL") if os.environ.get(name)}
    started = time.monotonic()
    report = partial(say, err=True)
    try:
        with only_platform(settings), migrated_session(settings), ExitStack() as stack:
            services: list[Watched] = []
            urls: dict[str, str] = {}
            if with_dashboard:
                dashboard = running_dashboard(settings, free_port(dashboard_port, settings.host), os.environ, report)
                services.append(stack.enter_context(dashboard))
                urls["dashboard_url"] = services[0].url
                # Dagster's pages link to the dashboard.
                overrides = {"IOT_DASHBOARD_URL": services[0].url, **overrides}
            dagster = stack.enter_context(
                running_dagster(settings, free_port(port, settings.host), environment(settings, overrides), report)
            )
            services.append(dagster)
            urls["url"] = dagster.url
            seconds = round(time.monotonic() - started, 1)
            if as_json:
                echo_json({**urls, "healthy": True, "seconds": seconds})
            else:
                _say_healthy(seconds, urls, settings)
            sys.stdout.flush()
            watch(services, report, UNHEALTHY_TIMEOUT_S)
    except KeyboardInterrupt:
        say("Stopped.", err=True)


def _say_healthy(seconds: float, urls: Mapping[str, str], settings: Settings) -> None:
    shown = f"Dagster UI: {urls['url']}"
    if "dashboard_url" in urls:
        shown += f"  Dashboard: {urls['dashboard_url']}"
    say(f"Healthy after {seconds} s. {shown}  Logs: {settings.root / 'logs'}")
