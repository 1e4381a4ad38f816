"""Rows per second of one insert: the chain beside a bare table and the textbook design, in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import groupby
from typing import Any

import pyarrow as pa

from iot_platform.clickhouse.server import Endpoint
from iot_platform.settings import Settings
from iot_platform_tests.bench.contestants import BARE, BOOK, CHAIN, MEANING, Contestants
from iot_platform_tests.bench.figures import rates, ratio
from iot_platform_tests.bench.readings import Batches
from iot_platform_tests.bench.sizes import Cell, Sizes

LEAST_ROUNDS = 2
Say = Callable[[str], None]


def measure_inserts(endpoint: Endpoint, settings: Settings, sizes: Sizes, say: Say) -> list[dict[str, Any]]:
    """One result per cell."""
    results = []
    for devices, cells in groupby(sizes.cells, key=lambda cell: cell.devices):
        say(f"inserts: schema and metadata of {devices:,} devices")
        with ExitStack() as stack:
            contestants = Contestants(stack, endpoint, settings, devices)
            for cell in cells:
                say(f"inserts: {devices:,} devices, batches of {cell.batch_rows:,}, {cell.per_device} of each device")
                results.append(_result(cell, _seconds(contestants, cell, sizes.cell_limit_s)))
    return results


def _seconds(contestants: Contestants, cell: Cell, limit_s: float) -> dict[str, list[float]]:
    """Seconds of each batch by contestant. The first round fills caches and is not counted."""
    batches = Batches(cell)
    contestants.start(f"bench:{cell}")
    seconds: dict[str, list[float]] = {name: [] for name in MEANING}
    deadline = time.monotonic() + limit_s
    rounds = 0
    while rounds <= cell.batches and (rounds <= LEAST_ROUNDS or time.monotonic() < deadline):
        rows = batches.next()
        for name in _turn(rounds):
            seconds[name].append(_insert(contestants, name, rows, rounds))
        rounds += 1
    contestants.check(rounds * cell.batch_rows)
    return {name: values[1:] for name, values in seconds.items()}


def _turn(number: int) -> Iterable[str]:
    """Whoever follows the slowest inherits its background merges: every round begins with another one."""
    names = list(MEANING)
    start = number % len(names)
    return names[start:] + names[:start]


def _insert(contestants: Contestants, name: str, rows: pa.Table, number: int) -> float:
    started = time.monotonic()
    contestants.inserts[name](rows, number)
    return time.monotonic() - started


def _result(cell: Cell, seconds: dict[str, list[float]]) -> dict[str, Any]:
    return {
        "devices": cell.devices,
        "batch_rows": cell.batch_rows,
        "readings_per_device": cell.per_device,
        "seconds": seconds,
        "rows_per_s": {name: rates(cell.batch_rows, values) for name, values in seconds.items()},
        "chain_against": {other: ratio(seconds[CHAIN], seconds[other]) for other in (BARE, BOOK)},
    }
