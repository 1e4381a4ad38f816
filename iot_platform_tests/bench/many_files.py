"""One file per meter, the usual delivery: all files in one command, and a sample of them one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform_tests.bench.inserts import Say
from iot_platform_tests.bench.processes import Measured, clean_environment, measure
from iot_platform_tests.bench.sizes import Sizes

INTERVAL_S = 1800
# Files begin at different times, as in the data of the Low Carbon London project: 23 November 2011 to February 2014.
FIRST_S, LAST_S = 1_322_038_800, 1_393_545_600
SAMPLE = 3


def measure_many_files(admin: Client, home: Path, directory: Path, sizes: Sizes, say: Say) -> dict[str, Any]:
    """Seconds and memory of one command with all files, and of a command for each of the first files."""
    paths = _generated(directory / "many_files", sizes)
    together: list[Measured] = []
    for number in range(sizes.file_loads):
        say(f"many files: all in one command, {number + 1} of {sizes.file_loads}")
        together += _load(admin, home, [paths])
    say("many files: one by one")
    alone = _load(admin, home, [[path] for path in paths[:SAMPLE]])
    seconds = min(load.seconds for load in together)
    rows = together[0].answer["rows_read"]
    return {
        "files": len(paths),
        "rows": rows,
        "inserted": together[0].answer["inserted"],
        "together": [load.figures() for load in together],
        "alone": [load.figures() for load in alone],
        "seconds": seconds,
        "rows_per_s": rows / seconds,
        "seconds_per_file_alone": min(load.seconds for load in alone),
        "seconds_one_by_one": min(load.seconds for load in alone) * len(paths),
        "peak_memory_bytes": max(load.peak_memory_bytes for load in together),
    }


def summary(part: dict[str, Any]) -> list[tuple[str, ...]]:
    """The figures as rows of a table."""
    return [
        (
            f"{part['files']:,}",
            f"{part['rows']:,}",
            f"{part['seconds']:.1f}",
            f"{part['rows_per_s']:,.0f}",
            f"{part['peak_memory_bytes'] / 1e6:,.0f}",
            f"{part['seconds_per_file_alone']:.1f}",
            f"{part['seconds_one_by_one']:,.0f}",
        )
    ]


def _load(admin: Client, home: Path, commands: list[list[Path]]) -> list[Measured]:
    """Run the commands one after the other, in a new database."""
    database = "bench_many_files"
    env = clean_environment(home, IOT_CLICKHOUSE_DATABASE=database)
    measure(env, "migrate", "--json")
    try:
        return [measure(env, "load", "readings", "--json", *map(str, paths)) for paths in commands]
    finally:
        admin.command(f"DROP DATABASE {quoted(database)} SYNC")


def _generated(directory: Path, sizes: Sizes) -> list[Path]:
    """CSV files of one meter each, sorted by time."""
    directory.mkdir(exist_ok=True)
    random = np.random.default_rng(1)
    paths = []
    for meter in range(sizes.many_files):
        latest = (LAST_S - FIRST_S) // INTERVAL_S - sizes.many_files_rows
        first = FIRST_S + int(random.integers(0, latest)) * INTERVAL_S
        seconds = first + np.arange(sizes.many_files_rows, dtype=np.int64) * INTERVAL_S
        readings = pa.table(
            {
                "meter": pa.array([f"MAC{meter:06}"] * len(seconds)),
                "time": pa.array(seconds).cast(pa.timestamp("s")).cast(pa.string()),
                "kwh": pa.array(random.gamma(1.2, 0.18, len(seconds)).round(3)),
            }
        )
        path = directory / f"meter{meter:06}.csv"
        csv.write_csv(readings, path)
        paths.append(path)
    return paths
