"""Rows per second of inserts: the platform, a bare table and the textbook design, measured in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import groupby
from typing import Any

import psutil

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse_embedded.directory import ServerDirectory
from iot_platform.clickhouse_embedded.record import read_record
from iot_platform.settings import Settings
from iot_platform_tests.bench.contestants import BARE, BOOK, CHAIN, MEANING, Contestants
from iot_platform_tests.bench.figures import rates, ratio
from iot_platform_tests.bench.readings import Batches
from iot_platform_tests.bench.sizes import Cell, Sizes

LEAST_ROUNDS = 2
Say = Callable[[str], None]


Figures = dict[str, list[float]]


def measure_inserts(endpoint: Endpoint, settings: Settings, sizes: Sizes, say: Say) -> list[dict[str, Any]]:
    """One result per cell."""
    record = read_record(ServerDirectory(settings.clickhouse_dir).record)
    assert record is not None, "the server of this home runs"
    server = psutil.Process(record.pid)
    results = []
    for devices, cells in groupby(sizes.cells, key=lambda cell: cell.devices):
        say(f"inserts: schema and metadata of {devices:,} devices")
        with ExitStack() as stack:
            contestants = Contestants(stack, endpoint, settings, devices)
            for cell in cells:
                say(f"inserts: {devices:,} devices, batches of {cell.batch_rows:,}, {cell.per_device} of each device")
                results.append(_result(cell, *_measure(contestants, cell, server, sizes.cell_limit_s)))
    return results


def _measure(contestants: Contestants, cell: Cell, server: psutil.Process, limit_s: float) -> tuple[Figures, Figures]:
    """Seconds of each batch, and CPU seconds of the server in them, by contestant.

    The first round fills caches and is not counted.
    """
    batches = Batches(cell)
    contestants.start(f"bench:{cell}")
    seconds: Figures = {name: [] for name in MEANING}
    cpu_seconds: Figures = {name: [] for name in MEANING}
    deadline = time.monotonic() + limit_s
    rounds = 0
    while rounds <= cell.batches and (rounds <= LEAST_ROUNDS or time.monotonic() < deadline):
        rows = batches.next()
        for name in _turn(rounds):
            cpu_before, started = _cpu_seconds(server), time.monotonic()
            contestants.inserts[name](rows, rounds)
            seconds[name].append(time.monotonic() - started)
            cpu_seconds[name].append(_cpu_seconds(server) - cpu_before)
        rounds += 1
    contestants.check(rounds * cell.batch_rows)
    return _without_first(seconds), _without_first(cpu_seconds)


def _without_first(figures: Figures) -> Figures:
    return {name: values[1:] for name, values in figures.items()}


def _cpu_seconds(server: psutil.Process) -> float:
    """CPU time of all threads, including background merges. Other programs on the machine hardly change it."""
    times = server.cpu_times()
    return float(times.user + times.system)


def _turn(number: int) -> Iterable[str]:
    """Each round begins with another contestant, because background merges of the slowest one slow down the next."""
    names = list(MEANING)
    start = number % len(names)
    return names[start:] + names[:start]


def _result(cell: Cell, seconds: Figures, cpu_seconds: Figures) -> dict[str, Any]:
    rows = cell.batch_rows
    return {
        "devices": cell.devices,
        "batch_rows": rows,
        "readings_per_device": cell.per_device,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "rows_per_s": {name: rates(rows, values) for name, values in seconds.items()},
        # The kernel counts CPU time in hundredths of a second: only the sum over all batches is precise enough.
        "cpu_us_per_row": {name: sum(values) / len(values) / rows * 1e6 for name, values in cpu_seconds.items()},
        "chain_against": {other: ratio(seconds[CHAIN], seconds[other]) for other in (BARE, BOOK)},
    }
