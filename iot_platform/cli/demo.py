"""``iot-platform demo``: start the whole platform with simulated meters."""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial

import click
from clickhouse_connect.driver.client import Client

from iot_platform.cli.output import echo_json, say, show_summary
from iot_platform.cli.up import DAGSTER_PORT
from iot_platform.clickhouse.session import migrated_session
from iot_platform.errors import PlatformError
from iot_platform.layers.proof import prove_all
from iot_platform.layers.summary import Summary, summarize
from iot_platform.security.private_files import state_directory
from iot_platform.services.dagster import running_dagster
from iot_platform.services.dashboard import DASHBOARD_PORT, running_dashboard
from iot_platform.services.home_lock import only_platform
from iot_platform.services.instance import environment
from iot_platform.services.materialize import materialize_layers, refresh_metadata
from iot_platform.services.process import free_port
from iot_platform.services.signals import interrupt_on_stop_signals
from iot_platform.services.supervision import watch
from iot_platform.settings import Settings
from iot_platform.simulator.ingestion import first_simulated_day

INTERRUPTED = 130


@click.command()
@click.option(
    "--days", default=30, show_default=True, type=click.IntRange(1, 3660), help="Days of readings up to today."
)
@click.option(
    "--exit", "exit_after", is_flag=True, help="Exit after the summary; exit code 0 only if every day is verified."
)
@click.option("--json", "as_json", is_flag=True, help="Also print the summary as one line of JSON, on the last line.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DAGSTER_PORT,
    show_default=True,
    help="Port of the Dagster UI; if it is in use, a free one.",
)
def demo(days: int, exit_after: bool, as_json: bool, port: int) -> None:
    """Start ClickHouse, Dagster and the dashboard with readings of simulated meters, and run until Ctrl-C.

    Creates the schema, materializes and verifies every day, and prints a summary. All state is stored in IOT_HOME; a
    second run continues where the first one stopped.
    """
    interrupt_on_stop_signals()
    settings = Settings()
    started = time.monotonic()
    ready = False
    try:
        with nullcontext() if exit_after else only_platform(settings), migrated_session(settings) as client:
            env = _demo_environment(client, settings, days)
            _materialize(settings, env)
            _verify_remaining_days(client)
            summary = summarize(client)
            ready = True
            show_summary(summary)
            say(f"Ready after {time.monotonic() - started:.0f} s.")
            if as_json and not exit_after:
                echo_json({**summary.as_json(), "seconds": round(time.monotonic() - started, 1)})
            if not exit_after:
                _keep_running(settings, env, port)
    except PlatformError as error:
        raise PlatformError(f"{error}\nRun `iot-platform demo` again: it continues where it stopped.") from error
    except KeyboardInterrupt:
        say("Stopped.")
        sys.exit(0 if ready and not exit_after else INTERRUPTED)
    if as_json:
        echo_json({**summary.as_json(), "seconds": round(time.monotonic() - started, 1)})
    sys.exit(0 if _is_correct(summary) else 1)


def _is_correct(summary: Summary) -> bool:
    return summary.proved and summary.conserved


def _demo_environment(client: Client, settings: Settings, days: int) -> dict[str, str]:
    """Settings of the demo's Dagster processes. If there are simulated readings already, their first day is kept."""
    first = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=days - 1)
    overrides = {
        "IOT_FIRST_DAY": min(first, first_simulated_day(client, settings) or first).isoformat(),
        "IOT_SIMULATOR_ENABLED": "true",
        "IOT_AUTOMATION_ENABLED": "true",
    }
    return environment(settings, overrides)


def _materialize(settings: Settings, env: Mapping[str, str]) -> None:
    """Materialize the metadata, then all days of all layers, as a user of the Dagster UI would."""
    first, last = dt.date.fromisoformat(env["IOT_FIRST_DAY"]), dt.datetime.now(dt.UTC).date()
    days = (last - first).days + 1
    log = state_directory(settings.root, "logs") / "materialize.log"
    say(f"Dagster materializes the metadata and {days} days of {settings.simulator_devices} meters. Log: {log}")
    refresh_metadata(env, log)
    for done in materialize_layers(first, last, env, log):
        if done < days:
            say(f"{done} of {days} days are materialized.")


def _verify_remaining_days(client: Client) -> None:
    """Verify the days before the first partition of Dagster, which readings from a user's files may have."""
    for _ in prove_all(client, only_unverified=True):
        pass


def _keep_running(settings: Settings, env: Mapping[str, str], preferred_port: int) -> None:
    port = free_port(preferred_port, settings.host)
    report = partial(say, err=True)
    say("Starting the Dagster UI and daemon, and the dashboard ...")
    with (
        running_dashboard(settings, free_port(DASHBOARD_PORT, settings.host), env, report) as dashboard,
        running_dagster(settings, port, {**env, "IOT_DASHBOARD_URL": dashboard.url}, report) as dagster,
    ):
        say(f"Dagster UI: {dagster.url}")
        say(f"Dashboard: {dashboard.url}")
        say('ClickHouse: `iot-platform db url` shows how to connect; `iot-platform sql "SELECT ..."` runs a query.')
        say("New readings are ingested every few minutes. Ctrl-C stops everything.")
        sys.stdout.flush()
        watch([dagster, dashboard], report, None)
