"""``python -m iot_platform_tests.bench``."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from clickhouse_connect.driver.exceptions import Error

from iot_platform.clickhouse.client import connect
from iot_platform.clickhouse.embedded_server import running_server
from iot_platform.errors import PlatformError
from iot_platform.services.signals import interrupt_on_stop_signals
from iot_platform.settings import Settings
from iot_platform_tests.bench import machine
from iot_platform_tests.bench.dagster_runs import measure_dagster
from iot_platform_tests.bench.dashboard import measure_dashboard
from iot_platform_tests.bench.demo import measure_demo
from iot_platform_tests.bench.files import CAMBRIDGE, measure_files
from iot_platform_tests.bench.inserts import Say, measure_inserts
from iot_platform_tests.bench.many_files import measure_many_files
from iot_platform_tests.bench.proofs import measure_proofs
from iot_platform_tests.bench.report import show
from iot_platform_tests.bench.sizes import FULL, QUICK, Sizes
from iot_platform_tests.bench.small_batches import measure_small_batches

PARTS = ("inserts", "small_batches", "files", "many_files", "proofs", "dashboard", "dagster", "demo")


@click.command()
@click.option("--quick", is_flag=True, help="Small sizes, less than a minute: to test the benchmark, not the speed.")
@click.option("--only", "names", multiple=True, type=click.Choice(PARTS), help="Only this part (repeatable).")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("bench-results.json"),
    show_default=True,
    help="File for all raw figures.",
)
@click.option(
    "--cambridge", type=click.Path(path_type=Path), default=CAMBRIDGE, help="Parquet file of real readings to load."
)
def bench(quick: bool, names: tuple[str, ...], json_file: Path, cambridge: Path) -> None:
    """Measure inserts, loads, proofs, the dashboard, Dagster's runs and the demo, in a temporary home."""
    # `kill` must stop the server and remove the home as Ctrl-C does.
    interrupt_on_stop_signals()
    started = time.monotonic()
    results: dict[str, Any] = {"started_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), "quick": quick}
    sizes = QUICK if quick else FULL

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - started:4.0f} s] {text}", err=True)

    with tempfile.TemporaryDirectory(prefix="iot-bench-", ignore_cleanup_errors=True) as directory:
        run = Run(Path(directory), sizes, cambridge, say)
        run.measure(names or PARTS)
    results |= run.results
    results["load_average_at_end"] = list(os.getloadavg())
    results["seconds"] = time.monotonic() - started
    json_file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    show(results)
    click.echo(f"All figures: {json_file} (after {results['seconds']:.0f} s)")
    sys.exit(1 if run.results["failed"] else 0)


class Run:
    """Measures the parts one after the other; a part that fails does not stop the others."""

    def __init__(self, directory: Path, sizes: Sizes, cambridge: Path, say: Say) -> None:
        self.results: dict[str, Any] = {"failed": {}}
        self._directory = directory
        self._sizes = sizes
        self._cambridge = cambridge
        self._say = say

    def measure(self, names: Sequence[str]) -> None:
        """Fill ``results``."""
        home, sizes, say = self._directory / "home", self._sizes, self._say
        settings = Settings(home=home, clickhouse_url=None, clickhouse_port=0)
        parts: dict[str, Callable[[], Any]] = {}
        with running_server(settings) as endpoint, closing(connect(endpoint, settings, database="default")) as admin:
            self.results["machine"] = machine.facts(admin)
            # First: after the others the server still merges and removes parts.
            parts["small_batches"] = lambda: measure_small_batches(endpoint, settings, sizes, say)
            parts["inserts"] = lambda: measure_inserts(endpoint, settings, sizes, say)
            parts["files"] = lambda: measure_files(admin, home, self._directory, sizes, self._cambridge, say)
            parts["many_files"] = lambda: measure_many_files(admin, home, self._directory, sizes, say)
            parts["proofs"] = lambda: measure_proofs(endpoint, settings, home, sizes, say)
            parts["dashboard"] = lambda: measure_dashboard(endpoint, settings, self._directory, sizes, say)
            for name in (name for name in parts if name in names):
                self._part(name, parts[name])
        # Outside the block: these parts start their own server.
        if "dagster" in names:
            self._part("dagster", lambda: measure_dagster(self._directory, sizes, say))
        if "demo" in names:
            self._part("demo", lambda: measure_demo(self._directory, sizes, say))

    def _part(self, name: str, measure: Callable[[], Any]) -> None:
        try:
            self.results[name] = measure()
        except (RuntimeError, PlatformError, Error) as error:
            self._say(f"{name} failed: {error}")
            self.results["failed"][name] = str(error)


if __name__ == "__main__":
    bench()
