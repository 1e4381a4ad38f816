"""Readings to insert: batches of any shape, with timestamps that were not used before."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa

from iot_platform.readings.contract import READING_SCHEMA
from iot_platform_tests.bench.sizes import Cell

FIRST_TIME = dt.datetime(2026, 2, 2, tzinfo=dt.UTC)
INTERVAL_S = 60
REFUSED_SHARE = 0.002
OVER_LIMIT_KWH = 1_000.0
MEAN_KWH = 0.5


class Batches:
    """Batches of a cell: every interval holds the same number of meters, in the order of no index.

    Meters take turns from batch to batch where a batch does not hold all of them. A few values are over the limit.
    """

    def __init__(self, cell: Cell, seed: int = 1) -> None:
        self._cell = cell
        self._random = np.random.default_rng(seed)
        self._devices = self._random.permutation(np.arange(1, cell.devices + 1, dtype=np.uint32))
        self._number = 0

    def next(self) -> pa.Table:
        """The next batch: a table with READING_SCHEMA."""
        cell = self._cell
        per_interval = cell.batch_rows // cell.per_device
        turn = np.arange(per_interval) + self._number * per_interval
        devices = np.tile(self._devices[turn % cell.devices], cell.per_device)
        first = int(FIRST_TIME.timestamp()) + self._number * cell.per_device * INTERVAL_S
        times = np.repeat(first + np.arange(cell.per_device, dtype=np.int64) * INTERVAL_S, per_interval)
        self._number += 1
        return table(times, devices, self._values(cell.batch_rows))

    def _values(self, rows: int) -> np.ndarray:
        values = self._random.gamma(2.0, MEAN_KWH / 2.0, rows).round(3)
        values[self._random.random(rows) < REFUSED_SHARE] = OVER_LIMIT_KWH
        return values


def table(times: np.ndarray, devices: np.ndarray, values: np.ndarray) -> pa.Table:
    """Readings of epoch seconds, device ids and kWh."""
    columns = [pa.array(times).cast(READING_SCHEMA.field("timestamp").type), pa.array(devices), pa.array(values)]
    return pa.table(columns, schema=READING_SCHEMA)
