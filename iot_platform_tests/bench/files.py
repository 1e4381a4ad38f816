"""Rate and peak memory of ``iot-platform load readings``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform_tests.bench.figures import spread
from iot_platform_tests.bench.inserts import Say
from iot_platform_tests.bench.processes import REPOSITORY, Measured, clean_environment, measure
from iot_platform_tests.bench.readings import FIRST_TIME, MEAN_KWH, table
from iot_platform_tests.bench.sizes import Sizes

INTERVAL_S = 900
CAMBRIDGE = REPOSITORY.parent / "shared" / "data" / "cambridge_2019_2021_hourly.parquet"


def measure_files(
    admin: Client, home: Path, directory: Path, sizes: Sizes, cambridge: Path, say: Say
) -> list[dict[str, Any]]:
    """One result per file: generated Parquet and CSV, and real readings if the file exists."""
    files = _generated(directory, sizes)
    if sizes.with_cambridge and cambridge.exists():
        files["cambridge parquet"] = cambridge
    results = []
    for name, path in files.items():
        loads: list[Measured] = []
        deadline = time.monotonic() + sizes.file_limit_s
        while len(loads) < sizes.file_loads and (not loads or time.monotonic() < deadline):
            say(f"files: {name}, load {len(loads) + 1} of {sizes.file_loads}")
            loads.append(_load(admin, home, path))
        results.append(_result(name, path, loads))
    return results


def _load(admin: Client, home: Path, path: Path) -> Measured:
    """Load into a new database of a running server, so the measured memory is only the loader's."""
    database = "bench_load"
    env = clean_environment(home, IOT_CLICKHOUSE_DATABASE=database)
    measure(env, "migrate", "--json")
    try:
        return measure(env, "load", "readings", str(path), "--json")
    finally:
        admin.command(f"DROP DATABASE {quoted(database)} SYNC")


def _result(name: str, path: Path, loads: list[Measured]) -> dict[str, Any]:
    rows = loads[0].answer["rows_read"]
    return {
        "file": name,
        "bytes": path.stat().st_size,
        "rows": rows,
        "inserted": loads[0].answer["inserted"],
        "loads": [load.figures() for load in loads],
        "seconds": spread([load.seconds for load in loads]),
        # The loader's own time for the file, without the start of Python and the connection.
        "rows_per_s": spread([load.answer["rows_per_s"] for load in loads]),
        "peak_memory_bytes": max(load.peak_memory_bytes for load in loads),
    }


def _generated(directory: Path, sizes: Sizes) -> dict[str, Path]:
    """A Parquet and a CSV file with the same readings, sorted by time."""
    files = {"generated parquet": directory / "readings.parquet", "generated csv": directory / "readings.csv"}
    readings = _readings(sizes)
    parquet.write_table(readings, files["generated parquet"])
    # Times in a common format: 2026-02-02T00:00:00Z
    times = readings["timestamp"].cast(pa.timestamp("s")).cast(pa.string())
    texts = pa.array([f"{str(time).replace(' ', 'T')}Z" for time in times.to_pylist()], pa.string())
    csv.write_csv(readings.set_column(0, "timestamp", texts), files["generated csv"])
    return files


def _readings(sizes: Sizes) -> pa.Table:
    random = np.random.default_rng(1)
    rows = np.arange(sizes.file_rows, dtype=np.int64)
    # Older than the readings of other parts, so that files of any size do not reach into the future.
    first = int(FIRST_TIME.timestamp()) - (sizes.file_rows // sizes.file_devices + 1) * INTERVAL_S
    times = first + rows // sizes.file_devices * INTERVAL_S
    devices = (rows % sizes.file_devices + 1).astype(np.uint32)
    return table(times, devices, random.gamma(2.0, MEAN_KWH / 2.0, sizes.file_rows).round(3))
