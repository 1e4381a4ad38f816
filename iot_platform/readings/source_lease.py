"""The lease of a source: the right to write it, held over many batches, and what is known of it meanwhile."""

from __future__ import annotations

import bisect
import contextlib
import datetime as dt
import hashlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from iot_platform.clickhouse import retries
from iot_platform.clickhouse.client import server_time
from iot_platform.clickhouse.lock import HeldLock, server_lock
from iot_platform.clickhouse.rows import insert_rows
from iot_platform.readings.ledger import EPOCH, Ledger, LedgerEntry, Range
from iot_platform.readings.takeover import LeftOpen, complete_ledgers

# A lease is renewed by the first batch after this time, so that a takeover counts a minute of batches, and that a
# process on another machine sees a young lock (it takes over one that is older than lock.STALE_S).
RENEW_S = 60.0
LOCK_WAIT_S = 60.0
_LAST_POSITION = 2**63 - 1

_LEFT_OPEN = """
SELECT now64(6, 'UTC'), groupArray((source, writer, arrivals_from, newest))
FROM (
    SELECT source, argMax(writer, recorded_at) AS writer, argMax(arrivals_from, recorded_at) AS arrivals_from,
        max(recorded_at) AS newest
    FROM ingestion_leases
    WHERE source IN {sources:Array(String)}
    GROUP BY source
    HAVING argMax(toString(state), recorded_at) = 'open'
)
"""


class SourceLease:
    """A lease; ``writer`` is the random name of the writer. Only ``sent`` may be called by several threads."""

    def __init__(self, client: Client, ledger: Ledger, writer: str, lock: HeldLock) -> None:
        self.source = ledger.source
        self.ledger = ledger
        self.writer = writer
        # Ranges that were sent and not answered. Their outcome is not known.
        self.doubtful: set[Range] = set()
        self._client = client
        self._lock = lock
        self._mutex = threading.Lock()
        self._is_open = self._was_left_open = False
        self._renewed_at = time.monotonic()
        self._arrivals_from = self._last_arrival = EPOCH
        self._written = _Positions()
        self._known_from: int | None = None
        self._set_clock(EPOCH)

    @property
    def is_renewable(self) -> bool:
        """Whether no other process may have taken the source over yet."""
        return self._lock.is_renewable

    def resolve(self) -> None:
        """After an unclean end of an earlier writer, or doubtful ranges of this one: complete the ledger."""
        resolve_all(self._client, [self])

    def resolved(self, server_time: dt.datetime, *, was_left_open: bool) -> None:
        """The ledger is complete; ``was_left_open``: it was completed, and the lease is open in the database."""
        self._set_clock(server_time)
        if was_left_open:
            # The lease of the other writer is closed at the end, or replaced by ours with the first batch.
            self._is_open, self._was_left_open = False, True
            self.doubtful.clear()
        self._known_from = None

    def know(self, entries: Iterable[LedgerEntry]) -> None:
        """All entries of the source, read while the lease is held."""
        self._written = _Positions()
        for entry in entries:
            self._written.add(entry.range)
        self._known_from = -_LAST_POSITION

    def now(self) -> dt.datetime:
        """The server's time, computed from the last time that was asked for."""
        return self._server_time + dt.timedelta(seconds=time.monotonic() - self._asked_at)

    def arrival(self, rows: int) -> dt.datetime:
        """The arrival time of a batch that arrives now: later than those of all readings of the batches before it."""
        arrived_at = max(self.now(), self._last_arrival)
        self._last_arrival = arrived_at + dt.timedelta(microseconds=max(rows, 1))
        return arrived_at

    def cover(self, arrived_at: dt.datetime) -> None:
        """Call this before sending batches: a takeover counts those that arrived at ``arrived_at`` or later.

        Raises PlatformError when another process has taken the source over.
        """
        is_young = time.monotonic() - self._renewed_at < RENEW_S
        if self._is_open and is_young and arrived_at >= self._arrivals_from:
            return
        if not is_young:
            # If it is lost, the lease is not ours to close.
            self._is_open = self._was_left_open = False
            retries.with_retries(self._lock.renew)
            self._renewed_at = time.monotonic()
            self._set_clock(server_time(self._client))
        self._is_open = False
        open_all(self._client, [self], arrived_at)

    def is_new(self, bounds: Range) -> bool:
        """Whether no part of a range was sent before. The ledger is read once, and again for earlier positions."""
        if self._known_from is None or bounds[0] < self._known_from:
            self.know(retries.with_retries(lambda: self.ledger.entries(bounds[0], _LAST_POSITION)))
            self._known_from = bounds[0]
        return not self._written.overlap(bounds)

    def sent(self, bounds: Range) -> None:
        """Note that a range was sent: it is not new any more, and its outcome not known."""
        with self._mutex:
            self._written.add(bounds)
            self.doubtful.add(bounds)

    def close(self) -> None:
        """Record that the ledger is complete. The lease stays open when the outcome of a batch is not known."""
        close_all(self._client, [self])

    def will_open(self, arrived_at: dt.datetime) -> bool:
        """Whether the lease is to be recorded as open before batches of ``arrived_at`` are sent."""
        if not self._is_open:
            # Every batch before this one was answered.
            self._arrivals_from = min(arrived_at, self._arrivals_from) if self.doubtful else arrived_at
        return not self._is_open

    def opened(self) -> None:
        """The lease was recorded as open."""
        self._is_open = True

    def closed(self) -> bool:
        """Whether the lease is to be recorded as closed now."""
        is_ours = self._lock.is_renewable or self._lock.is_held()
        if not (self._is_open or self._was_left_open) or self.doubtful or not is_ours:
            return False
        self._is_open = self._was_left_open = False
        return True

    def row(self, state: str) -> dict[str, object]:
        """The lease as a row of the table ``ingestion_leases``."""
        return {
            "source": self.source,
            "description": self.ledger.description,
            "writer": self.writer,
            "state": state,
            "arrivals_from": self._arrivals_from,
        }

    def _set_clock(self, server_time: dt.datetime) -> None:
        self._server_time, self._asked_at = server_time, time.monotonic()


@contextmanager
def source_lease(
    client: Client, source: str, description: str, writer: str, *, wait_s: float = LOCK_WAIT_S
) -> Iterator[SourceLease]:
    """Hold the lease of a source for the length of a ``with`` block.

    If the last writer did not close its lease, the ledger is completed from L1 first. Raises PlatformError when another
    process keeps the source for ``wait_s`` seconds.
    """
    with server_lock(client, lock_name(source), wait_s=wait_s) as lock:
        lease = SourceLease(client, Ledger(client, source, description), writer, lock)
        lease.resolve()
        try:
            yield lease
        finally:
            # A lease that cannot be closed costs the next writer a comparison.
            with contextlib.suppress(Error):
                lease.close()


def resolve_all(client: Client, leases: Sequence[SourceLease]) -> None:
    """Complete the ledgers of those leases that are open in the database."""
    [(now, rows)] = client.query(_LEFT_OPEN, parameters={"sources": [lease.source for lease in leases]}).result_rows
    ledgers = {lease.source: lease.ledger for lease in leases}
    left_open = [
        LeftOpen(ledgers[source], writer, *(time.replace(tzinfo=dt.UTC) for time in times))
        for source, writer, *times in rows
    ]
    if left_open:
        complete_ledgers(client, left_open)
    found = {lease.ledger.source for lease in left_open}
    for lease in leases:
        lease.resolved(now.replace(tzinfo=dt.UTC), was_left_open=lease.source in found)


def open_all(client: Client, leases: Iterable[SourceLease], arrived_at: dt.datetime) -> None:
    """Record that batches that arrive at ``arrived_at`` or later are sent: for all leases that are not open yet."""
    opened = [lease for lease in leases if lease.will_open(arrived_at)]
    retries.with_retries(lambda: _record(client, opened, "open"))
    for lease in opened:
        lease.opened()


def close_all(client: Client, leases: Iterable[SourceLease]) -> None:
    """Record that the ledgers are complete."""
    _record(client, [lease for lease in leases if lease.closed()], "closed")


def _record(client: Client, leases: Sequence[SourceLease], state: str) -> None:
    rows = [lease.row(state) for lease in leases]
    if rows:
        insert_rows(client, "ingestion_leases", [list(row.values()) for row in rows], list(rows[0]))


def source_id(source: str) -> str:
    """A short name of a source: 16 hexadecimal digits."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def lock_name(source: str) -> str:
    """The name of the lock of a source."""
    return f"source_{source_id(source)}"


class _Positions:
    """A set of positions, as ranges in order that do not touch each other: few, however many batches there are."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def overlap(self, bounds: Range) -> bool:
        """Whether one of the positions is in a range."""
        first = bisect.bisect_right(self._stops, bounds[0])
        return first < len(self._starts) and self._starts[first] < bounds[1]

    def add(self, bounds: Range) -> None:
        """Add the positions of a range."""
        start, stop = bounds
        if start >= stop:
            return
        first, last = bisect.bisect_left(self._stops, start), bisect.bisect_right(self._starts, stop)
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[last - 1])
        self._starts[first:last], self._stops[first:last] = [start], [stop]
