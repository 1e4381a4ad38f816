"""``iot-platform up``: the platform as services, until it is stopped."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

import click

from iot_platform.cli.output import echo_json
from iot_platform.clickhouse.migrations import migrated_session
from iot_platform.errors import PlatformError
from iot_platform.services.dagster import Dagster, running_dagster
from iot_platform.services.instance import environment
from iot_platform.services.process import free_port
from iot_platform.settings import Settings

DAGSTER_PORT = 3000
HEALTH_EVERY_S = 30
# A busy machine may miss a heartbeat; one that misses this many in a row is not well.
UNHEALTHY_TIMES = 4


@click.command()
@click.option("--port", default=DAGSTER_PORT, show_default=True, help="Port of the Dagster UI; a free one if taken.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON once everything is healthy.")
def up(port: int, as_json: bool) -> None:
    """Run ClickHouse (unless IOT_CLICKHOUSE_URL names a server) and Dagster's code location, webserver and daemon.

    Applies the schema first. Dagster's storage is that of DAGSTER_HOME, or of the home when that is not set. Says so
    once all of them are healthy, and looks at them every half a minute. Ctrl-C or SIGTERM ends everything it started.
    Sensors and schedules run when IOT_AUTOMATION_ENABLED is set, or were switched on in the UI.

    Exit code 0: stopped; 1: something could not start, ended by itself, or stayed unhealthy; its log is named then
    (IOT_HOME/logs).
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    settings = Settings()
    instance = {name: os.environ[name] for name in ("DAGSTER_HOME",) if os.environ.get(name)}
    started = time.monotonic()
    try:
        with (
            migrated_session(settings),
            running_dagster(settings, free_port(port, settings.host), environment(settings, instance)) as dagster,
        ):
            seconds = round(time.monotonic() - started, 1)
            if as_json:
                echo_json({"url": dagster.url, "healthy": True, "seconds": seconds})
            else:
                click.echo(f"Healthy after {seconds} s. Dagster UI: {dagster.url}  Logs: {settings.root / 'logs'}")
            sys.stdout.flush()
            watch(dagster)
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)


def watch(dagster: Dagster) -> None:
    """Return never: raises PlatformError when a service has ended or stays unhealthy."""
    bad = 0
    while True:
        # Processes each second, health (which asks Dagster's storage) now and then.
        for _ in range(HEALTH_EVERY_S):
            time.sleep(1)
            dagster.check()
        problems = dagster.problems()
        bad = bad + 1 if problems else 0
        for problem in problems:
            click.echo(f"Not healthy ({bad} of {UNHEALTHY_TIMES}): {problem}", err=True)
        if bad == UNHEALTHY_TIMES:
            raise PlatformError(f"Dagster stayed unhealthy for {bad * HEALTH_EVERY_S} s: {' '.join(problems)}")


def interrupt(number: int, frame: FrameType | None) -> None:
    """A signal as KeyboardInterrupt, so that everything is cleaned up on the way out."""
    raise KeyboardInterrupt
