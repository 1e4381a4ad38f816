"""``iot-platform up``: the platform as services, until it is stopped."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType

import click

from iot_platform.cli.output import echo_json, say
from iot_platform.clickhouse.migrations import migrated_session
from iot_platform.errors import PlatformError
from iot_platform.services.dagster import running_dagster
from iot_platform.services.dashboard import DASHBOARD_PORT, running_dashboard
from iot_platform.services.instance import environment
from iot_platform.services.process import Watched, free_port
from iot_platform.settings import Settings

DAGSTER_PORT = 3000
HEALTH_EVERY_S = 30
# A busy machine may miss a heartbeat; one that misses this many in a row is not well.
UNHEALTHY_TIMES = 4


@click.command()
@click.option("--port", default=DAGSTER_PORT, show_default=True, help="Port of the Dagster UI; a free one if taken.")
@click.option("--dashboard/--no-dashboard", "with_dashboard", default=True, help="Serve the LookML dashboard, too.")
@click.option(
    "--dashboard-port", default=DASHBOARD_PORT, show_default=True, help="Port of the dashboard; a free one if taken."
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON once everything is healthy.")
def up(port: int, with_dashboard: bool, dashboard_port: int, as_json: bool) -> None:
    """Run ClickHouse (unless IOT_CLICKHOUSE_URL names a server), Dagster's code location, webserver and daemon, and
    the dashboard.

    Applies the schema first. Dagster's storage is that of DAGSTER_HOME, or of the home when that is not set. Says so
    once all of them are healthy, and looks at them every half a minute. Ctrl-C or SIGTERM ends everything it started.
    Sensors and schedules run when IOT_AUTOMATION_ENABLED is set, or were switched on in the UI.

    Exit code 0: stopped; 1: something could not start, ended by itself, or stayed unhealthy; its log is named then
    (IOT_HOME/logs).
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    settings = Settings()
    overrides = {name: os.environ[name] for name in ("DAGSTER_HOME", "IOT_DASHBOARD_URL") if os.environ.get(name)}
    started = time.monotonic()
    try:
        with migrated_session(settings), ExitStack() as stack:
            services: list[Watched] = []
            urls: dict[str, str] = {}
            if with_dashboard:
                dashboard = running_dashboard(settings, free_port(dashboard_port, settings.host), os.environ)
                services.append(stack.enter_context(dashboard))
                urls["dashboard_url"] = services[0].url
                # Dagster links to it.
                overrides = {"IOT_DASHBOARD_URL": services[0].url, **overrides}
            dagster = stack.enter_context(
                running_dagster(settings, free_port(port, settings.host), environment(settings, overrides))
            )
            services.append(dagster)
            urls["url"] = dagster.url
            seconds = round(time.monotonic() - started, 1)
            if as_json:
                echo_json({**urls, "healthy": True, "seconds": seconds})
            else:
                shown = f"Dagster UI: {dagster.url}"
                shown += f"  Dashboard: {urls['dashboard_url']}" if with_dashboard else ""
                say(f"Healthy after {seconds} s. {shown}  Logs: {settings.root / 'logs'}")
            sys.stdout.flush()
            watch(services)
    except KeyboardInterrupt:
        say("Stopped.", err=True)


def watch(services: Sequence[Watched]) -> None:
    """Return never: raises PlatformError when a service has ended or stays unhealthy."""
    bad = 0
    while True:
        # Processes each second, health (which asks Dagster's storage) now and then.
        for _ in range(HEALTH_EVERY_S):
            time.sleep(1)
            for service in services:
                service.check()
        problems = [problem for service in services for problem in service.problems()]
        bad = bad + 1 if problems else 0
        for problem in problems:
            say(f"Not healthy ({bad} of {UNHEALTHY_TIMES}): {problem}", err=True)
        if bad == UNHEALTHY_TIMES:
            raise PlatformError(f"Not healthy for {bad * HEALTH_EVERY_S} s: {' '.join(problems)}")


def interrupt(number: int, frame: FrameType | None) -> None:
    """A signal as KeyboardInterrupt, so that everything is cleaned up on the way out."""
    raise KeyboardInterrupt
