"""``iot-platform simulate``: write the readings of the simulated meters."""

from __future__ import annotations

import datetime as dt
import sys
import time
from dataclasses import asdict

import click
from rich.progress import Progress

from iot_platform.cli.output import echo_json, say
from iot_platform.clickhouse.session import migrated_session
from iot_platform.errors import PlatformError
from iot_platform.settings import Settings
from iot_platform.simulator.ingestion import ingest_simulated_readings

TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@click.command()
@click.option("--from", "start", type=TIME, help="Start of the window, UTC; default: today 00:00.")
@click.option("--to", "end", type=TIME, help="End of the window, UTC; default: now.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one line of JSON.")
def simulate(start: dt.datetime | None, end: dt.datetime | None, as_json: bool) -> None:
    """Write all readings of the simulated meters that arrive in a window of time.

    The same settings (IOT_SIMULATOR_*) give the same readings, so repeating a window adds nothing.
    """
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    first = start.replace(tzinfo=dt.UTC) if start else now.replace(hour=0, minute=0, second=0)
    last = end.replace(tzinfo=dt.UTC) if end else now
    if first >= last:
        raise PlatformError(f"The window is empty: from {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC.")
    if last > now:
        raise PlatformError(f"--to {last:%Y-%m-%d %H:%M:%S} UTC is in the future: no readings have arrived yet.")
    started = time.monotonic()
    with (
        migrated_session(Settings()) as client,
        Progress(transient=True, disable=not sys.stderr.isatty()) as progress,
    ):
        task = progress.add_task("Writing", total=(last - first).total_seconds())
        result = ingest_simulated_readings(
            client,
            Settings(),
            first,
            last,
            lambda reached: progress.update(task, completed=(reached - first).total_seconds()),
        )
    seconds = time.monotonic() - started
    if as_json:
        echo_json({**asdict(result), "seconds": round(seconds, 3)})
        return
    labels = ", ".join(f"{label} {count:,}" for label, count in sorted(result.labels.items()))
    say(f"{result.rows:,} readings in {seconds:.1f} s ({result.kWh:,.1f} kWh; {labels or 'nothing new'}).")
