"""The one way into L1: each batch of a source arrives exactly once, whatever is repeated, killed or run twice."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error, OperationalError

from iot_platform.clickhouse.blocks import insert_block
from iot_platform.clickhouse.client import TRANSIENT_CODES
from iot_platform.clickhouse.lock import server_lock
from iot_platform.errors import SourceError
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.ledger import EPOCH, Entry, Ledger, Range, cut, open_ranges

ATTEMPTS = 6
FIRST_PAUSE_S = 0.5


@dataclass(frozen=True)
class Batch:
    """Readings (columns of READING_SCHEMA; others are dropped) that cover a half-open range of a source's positions.

    Positions are whole numbers that the source can always give again with the same readings: rows of a file, epoch
    seconds of a stream. A range may hold fewer readings than positions, also none.
    """

    position_from: int
    position_to: int
    readings: pa.Table

    @property
    def range(self) -> Range:
        return self.position_from, self.position_to


class Writer:
    """Writes the batches of one source through one client; not for use by several threads.

    ``source`` names the content for good: it must contain a hash of everything that decides which readings a range
    holds (bytes of a file, seed and settings of a simulator). The same name with other content would lose readings,
    because the server takes them for a retry.
    """

    def __init__(self, client: Client, source: str, description: str = "") -> None:
        if not source:
            raise ValueError("A source needs a name.")
        self._client = client
        self._source = source
        self._ledger = Ledger(client, source, description)
        self._exclusive_depth = 0

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other processes from writing this source. Hold it from ``gaps`` to the last ``write``.

        ``write`` takes it by itself when it is not held. Raises PlatformError when another process keeps it.
        """
        if self._exclusive_depth:
            self._exclusive_depth += 1
            try:
                yield
            finally:
                self._exclusive_depth -= 1
            return
        with server_lock(self._client, f"source_{_digest(self._source)[:16]}"):
            self._exclusive_depth = 1
            try:
                yield
            finally:
                self._exclusive_depth = 0

    def gaps(self, position_from: int, position_to: int) -> list[Range]:
        """Ranges that are not committed yet, in order.

        A range whose insert had no answer comes back with exactly its old bounds, also where they exceed the asked
        range: write it as one batch.
        """
        return [gap for gap, _ in self._open_ranges(position_from, position_to)]

    def cuts(self, position_from: int, position_to: int, size: int) -> list[Range]:
        """``gaps``, cut into ranges of at most ``size`` positions that can be written one by one."""
        return list(cut(self._open_ranges(position_from, position_to), size))

    def readings(self, position_from: int, position_to: int) -> int:
        """Number of readings in L1 from the committed batches that overlap a range."""
        entries = self._ledger.entries(position_from, position_to)
        return sum(entry.readings for entry in entries if entry.state == "committed")

    def end(self) -> int | None:
        """Number of positions of a finite source; None until ``finish`` was called once."""
        return self._ledger.end()

    def finish(self, end: int) -> None:
        """Remember that the source has no positions from ``end`` on."""
        self._ledger.record_end(end)

    def write(self, batch: Batch) -> int:
        """Insert a batch into L1 as one block; returns the number of readings, 0 if it was committed before.

        Busy servers and broken connections are retried under the same token. Raises ValueError for a range that
        cuts through one already written, SourceError when the source gives other readings than at the first attempt,
        and clickhouse_connect's Error when the server refuses or stays away; the range is then open for the next run.
        """
        if batch.position_from >= batch.position_to:
            raise ValueError(f"Batch of {self._source}: empty range {batch.range}.")
        with self.exclusive():
            before = _with_retries(lambda: self._ledger.entries(*batch.range))
            entry = self._entry(batch)
            if before:
                known = self._same_range(batch, before)
                if known.state == "committed":
                    return 0
                self._check_same_content(known, entry)
            elif batch.readings.num_rows:
                _with_retries(lambda: self._ledger.record(replace(entry, state="sending")))
            if batch.readings.num_rows:
                readings = batch.readings.select(READING_SCHEMA.names).cast(READING_SCHEMA)
                _with_retries(lambda: insert_block(self._client, "l1_power_raw", readings, token=entry.token))
            _with_retries(lambda: self._ledger.record(entry))
        return entry.readings

    def _open_ranges(self, position_from: int, position_to: int) -> list[tuple[Range, bool]]:
        return open_ranges(self._ledger.entries(position_from, position_to), position_from, position_to)

    def _entry(self, batch: Batch) -> Entry:
        token = f"{self._source}/{batch.position_from}-{batch.position_to}"
        first, last = _time_range(batch.readings)
        return Entry(
            position_from=batch.position_from,
            position_to=batch.position_to,
            state="committed",
            token=token,
            readings=batch.readings.num_rows,
            total_kWh=_finite_sum(batch.readings["power_usage_kWh"]),
            first_timestamp=first,
            last_timestamp=last,
        )

    def _same_range(self, batch: Batch, before: list[Entry]) -> Entry:
        if len(before) > 1 or before[0].range != batch.range:
            raise ValueError(
                f"Batch {batch.range} of {self._source} cuts through ranges already written: "
                f"{[entry.range for entry in before]}. Ask gaps() or cuts() and write just what they return."
            )
        return before[0]

    def _check_same_content(self, known: Entry, entry: Entry) -> None:
        same_sum = math.isclose(known.total_kWh, entry.total_kWh, rel_tol=1e-9, abs_tol=1e-9)
        if known.readings != entry.readings or not same_sum:
            raise SourceError(
                f"Source {self._source}, positions {entry.range}: first sent with {known.readings} readings "
                f"({known.total_kWh} kWh), now {entry.readings} ({entry.total_kWh} kWh). Nothing was written: a source "
                "must always give the same readings for a range. Give changed content another source name."
            )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _finite_sum(values: pa.ChunkedArray[Any]) -> float:
    return float(pc.sum(values.filter(pc.is_finite(values))).as_py() or 0.0)


def _time_range(readings: pa.Table) -> tuple[dt.datetime, dt.datetime]:
    if not readings.num_rows:
        return EPOCH, EPOCH
    times = readings["timestamp"].cast(pa.timestamp("s", "UTC"))
    bounds: Any = pc.min_max(times)
    return bounds["min"].as_py(), bounds["max"].as_py()


def _is_transient(error: Error) -> bool:
    # Without a code no answer came from ClickHouse: the connection failed.
    return error.code in TRANSIENT_CODES or (error.code is None and isinstance(error, OperationalError))


def _with_retries(action: Callable[[], Any]) -> Any:
    for attempt in range(ATTEMPTS):
        try:
            return action()
        except Error as error:
            if attempt == ATTEMPTS - 1 or not _is_transient(error):
                raise
        # Jitter keeps writers that failed together from coming back together.
        time.sleep(FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.0))
    raise AssertionError("unreachable")
