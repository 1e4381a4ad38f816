"""Rows per second of inserts: the platform, a bare table and the textbook design, measured in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Any

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.settings import Settings
from iot_platform_tests.bench.contestants import BARE, BOOK, CHAIN, MEANING, Contestants
from iot_platform_tests.bench.figures import rates, ratio
from iot_platform_tests.bench.readings import Batches
from iot_platform_tests.bench.server_cpu import ServerCpu
from iot_platform_tests.bench.sizes import Cell, Sizes

LEAST_ROUNDS = 2
Say = Callable[[str], None]
Figures = dict[str, list[float]]


@dataclass(frozen=True)
class _Measured:
    """By contestant: wall and CPU seconds of each batch, and of merging all of them; bytes on disk before and after."""

    seconds: Figures
    cpu_seconds: Figures
    merge_seconds: dict[str, float]
    merge_cpu_seconds: dict[str, float]
    bytes_unmerged: dict[str, int]
    bytes_merged: dict[str, int]
    rounds: int


def measure_inserts(endpoint: Endpoint, settings: Settings, sizes: Sizes, say: Say) -> list[dict[str, Any]]:
    """One result per cell."""
    cpu = ServerCpu(settings)
    results = []
    for devices, cells in groupby(sizes.cells, key=lambda cell: cell.devices):
        say(f"inserts: schema and metadata of {devices:,} devices")
        with ExitStack() as stack:
            contestants = Contestants(stack, endpoint, settings, devices)
            for cell in cells:
                say(f"inserts: {devices:,} devices, batches of {cell.batch_rows:,}, {cell.per_device} of each device")
                results.append(_result(cell, _measure(contestants, cell, cpu, sizes.cell_limit_s)))
    return results


def _measure(contestants: Contestants, cell: Cell, cpu: ServerCpu, limit_s: float) -> _Measured:
    """The first round fills caches and is not counted, but its rows are merged with the others."""
    batches = Batches(cell)
    contestants.start(f"bench:{cell}")
    seconds: Figures = {name: [] for name in MEANING}
    cpu_seconds: Figures = {name: [] for name in MEANING}
    deadline = time.monotonic() + limit_s
    rounds = 0
    while rounds <= cell.batches and (rounds <= LEAST_ROUNDS or time.monotonic() < deadline):
        rows = batches.next()
        for name in _turn(rounds):
            cpu_before, started = cpu.seconds(), time.monotonic()
            contestants.inserts[name](rows, rounds)
            seconds[name].append(time.monotonic() - started)
            cpu_seconds[name].append(cpu.seconds() - cpu_before)
        rounds += 1
    contestants.check(rounds * cell.batch_rows)
    unmerged = {name: contestants.bytes_on_disk(name) for name in MEANING}
    merge_seconds, merge_cpu_seconds = {}, {}
    for name in MEANING:
        cpu_before, started = cpu.seconds(), time.monotonic()
        contestants.merge(name)
        merge_seconds[name] = time.monotonic() - started
        merge_cpu_seconds[name] = cpu.seconds() - cpu_before
    contestants.check(rounds * cell.batch_rows)
    merged = {name: contestants.bytes_on_disk(name) for name in MEANING}
    return _Measured(
        _without_first(seconds),
        _without_first(cpu_seconds),
        merge_seconds,
        merge_cpu_seconds,
        unmerged,
        merged,
        rounds,
    )


def _without_first(figures: Figures) -> Figures:
    return {name: values[1:] for name, values in figures.items()}


def _turn(number: int) -> Iterable[str]:
    """Each round begins with another contestant, because the work of one may slow down the next."""
    names = list(MEANING)
    start = number % len(names)
    return names[start:] + names[:start]


def _result(cell: Cell, found: _Measured) -> dict[str, Any]:
    rows = cell.batch_rows
    all_rows = rows * found.rounds
    # By contestant: figures of each batch, its share of the merges included.
    merged_seconds = {
        name: [value + found.merge_seconds[name] / found.rounds for value in values]
        for name, values in found.seconds.items()
    }
    merged_cpu = {
        name: [value + found.merge_cpu_seconds[name] / found.rounds for value in values]
        for name, values in found.cpu_seconds.items()
    }
    return {
        "devices": cell.devices,
        "batch_rows": rows,
        "readings_per_device": cell.per_device,
        "seconds": found.seconds,
        "cpu_seconds": found.cpu_seconds,
        "rows_per_s": {name: rates(rows, values) for name, values in found.seconds.items()},
        "cpu_us_per_row": _microseconds(found.cpu_seconds, rows),
        "cpu_us_per_row_with_merges": _microseconds(merged_cpu, rows),
        "bytes_per_row": {name: size / all_rows for name, size in found.bytes_unmerged.items()},
        "bytes_per_row_merged": {name: size / all_rows for name, size in found.bytes_merged.items()},
        "chain_against": {
            other: {
                "cpu": ratio(found.cpu_seconds[CHAIN], found.cpu_seconds[other]),
                "cpu_with_merges": ratio(merged_cpu[CHAIN], merged_cpu[other]),
                "wall": ratio(found.seconds[CHAIN], found.seconds[other]),
                "wall_with_merges": ratio(merged_seconds[CHAIN], merged_seconds[other]),
            }
            for other in (BARE, BOOK)
        },
    }


def _microseconds(cpu_seconds: Figures, rows: int) -> dict[str, float]:
    return {name: median(values) / rows * 1e6 for name, values in cpu_seconds.items()}
