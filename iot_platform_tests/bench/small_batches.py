"""The cost of small batches through the writer: by themselves, and of several sources with one insert."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import Any

import pyarrow as pa

from iot_platform.clickhouse.client import connect, quoted
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.migrations import create_database, migrate
from iot_platform.layers.catalog import CHAIN_TABLES
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.group_writer import GroupWriter, SourceBatch
from iot_platform.readings.prepared_batch import Batch
from iot_platform.settings import Settings
from iot_platform_tests.bench.contestants import VERSIONS
from iot_platform_tests.bench.inserts import Say
from iot_platform_tests.bench.readings import Batches
from iot_platform_tests.bench.server_cpu import ServerCpu
from iot_platform_tests.bench.sizes import Cell, Sizes

DATABASE = "bench_small"
DEVICES = 10_000
SOURCES = 10
WARM_UP = 3
# Inserts the readings of each source, as the batch of this number.
Write = Callable[[int, list[pa.Table]], None]


def measure_small_batches(endpoint: Endpoint, settings: Settings, sizes: Sizes, say: Say) -> list[dict[str, Any]]:
    """Milliseconds and CPU milliseconds of the server for a batch of 1,000 rows, the same in a group, and one row."""
    own = settings.model_copy(update={"clickhouse_database": DATABASE})
    cpu = ServerCpu(settings)
    with ExitStack() as stack:
        create_database(endpoint, own)
        client = connect(endpoint, own)
        stack.callback(client.close)
        stack.callback(client.command, f"DROP DATABASE {quoted(DATABASE)} SYNC")
        migrate(client, own)
        client.command(VERSIONS, parameters={"devices": DEVICES})
        reload_dictionaries(client)
        for table in CHAIN_TABLES:
            client.command(f"SYSTEM STOP MERGES {quoted(table)}")
        group = stack.enter_context(GroupWriter(client))
        results = []
        for rows, sources in ((1_000, 1), (1_000, SOURCES), (1, 1), (1, SOURCES)):
            say(f"small batches: {rows:,} rows of {sources} sources with one insert")
            source = f"bench:small:{rows}:{sources}"
            batches = Batches(Cell(DEVICES, rows, 1, 0))
            if sources == 1:
                writer = BatchWriter(client, source)
                stack.enter_context(writer.exclusive())
                write = _alone(writer)
            else:
                write = _together(group, source)
            measured = _measure(write, batches, sources, cpu, sizes.small_batch_rounds)
            results.append({"rows": rows, "sources": sources, **measured})
    return results


def summary(part: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Rows: rows of a batch, batches with one insert, milliseconds of a batch, CPU milliseconds of the server."""
    return [
        (
            f"{each['rows']:,}",
            str(each["sources"]),
            *(f"{each[name]:,.1f}" for name in ("ms", "cpu_ms", "least_cpu_ms")),
        )
        for each in part
    ]


def _alone(writer: BatchWriter) -> Write:
    def write(number: int, readings: list[pa.Table]) -> None:
        writer.write(Batch(number, number + 1, readings[0]))

    return write


def _together(writer: GroupWriter, source: str) -> Write:
    def write(number: int, readings: list[pa.Table]) -> None:
        items = [SourceBatch(f"{source}:{n}", Batch(number, number + 1, rows)) for n, rows in enumerate(readings)]
        if failed := [result for result in writer.write(items) if not isinstance(result, int)]:
            raise RuntimeError(f"small batches: {failed[0]}")

    return write


def _measure(write: Write, batches: Batches, sources: int, cpu: ServerCpu, rounds: int) -> dict[str, float]:
    """For one batch, not for one insert. The first rounds open leases and are not counted."""
    seconds, cpu_seconds = [], []
    for number in range(rounds + WARM_UP):
        readings = [batches.next() for _ in range(sources)]
        cpu_before, started = cpu.seconds(), time.monotonic()
        write(number, readings)
        if number >= WARM_UP:
            seconds.append((time.monotonic() - started) / sources)
            cpu_seconds.append((cpu.seconds() - cpu_before) / sources)
    # The least: without the background work of the server.
    return {
        "ms": median(seconds) * 1000,
        "cpu_ms": median(cpu_seconds) * 1000,
        "least_cpu_ms": min(cpu_seconds) * 1000,
    }
