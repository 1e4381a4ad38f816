"""Write batches of several sources together: one insert for all that wait, each source with its own lease."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from uuid import uuid4

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from iot_platform.clickhouse import retries
from iot_platform.clickhouse.lock import LockHeldError, server_lock
from iot_platform.devices.meter_ids import MeterIds
from iot_platform.errors import SourceError
from iot_platform.readings.group_commit import BATCH_ERRORS, BatchError, commit, cover, is_lost, send
from iot_platform.readings.ledger import Ledger, LedgerEntry, entries_of, record_entries
from iot_platform.readings.named_readings import with_device_ids
from iot_platform.readings.prepared_batch import Batch, PreparedBatch, prepare
from iot_platform.readings.source_lease import SourceLease, close_all, lock_name, open_all, resolve_all, source_lease

# A source that another process writes must not hold up the others: its batches fail, and may be offered again.
_LOCK_WAIT_S = 0.5


@dataclass(frozen=True, eq=False)
class SourceBatch:
    """A batch of one of several sources. ``description``: for people, as in the table ``ingestion_leases``."""

    source: str
    batch: Batch
    description: str = ""


class GroupWriter:
    """Writes batches of any number of sources through one client. Use it as a context manager; not thread-safe.

    It keeps the lease of each source from its first batch until ``release`` or the end.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._meter_ids = MeterIds(client)
        self._writer = uuid4().hex
        self._leases: dict[str, tuple[SourceLease, ExitStack]] = {}

    def __enter__(self) -> GroupWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.release(*self._leases)

    def write(self, batches: Sequence[SourceBatch]) -> list[int | BatchError]:
        """Write batches as one block; returns for each its readings (0: it was committed before) or its error.

        A batch whose error is returned may be offered again: if its outcome is unknown, it is compared with L1 then.
        The same promises hold for each as for ``BatchWriter.write``.
        """
        return self.write_side_by_side([batches])[0]

    def write_side_by_side(self, groups: Sequence[Sequence[SourceBatch]]) -> list[list[int | BatchError]]:
        """Write groups of batches, each as one block, at the same time; see ``write``.

        Which of two readings of the same meter and time is newer does not depend on who is faster: ``arrived_at`` must
        be given then.
        """
        results: dict[SourceBatch, int | BatchError] = {}
        prepared: dict[PreparedBatch, SourceBatch] = {}
        blocks: list[list[PreparedBatch]] = []
        lost: BatchError | None = None
        for items in groups:
            blocks.append([])
            for item in items:
                if lost is not None:
                    results[item] = lost
                    continue
                try:
                    readings = with_device_ids(item.batch.readings, self._meter_ids)
                    ready = prepare(self._client, self._lease(item), replace(item.batch, readings=readings))
                    if ready is not None:
                        _check_disjoint(ready, prepared)
                        prepared[ready] = item
                        blocks[-1].append(ready)
                    results[item] = 0 if ready is None else ready.entry.readings
                except BATCH_ERRORS as error:
                    results[item] = error
                    # Do not wait for the server once more for each source.
                    lost = error if is_lost(error) else None
        errors = self._commit([block for block in blocks if block])
        results.update({prepared[ready]: error for ready, error in errors.items()})
        self.release(*{ready.source for ready in errors})
        return [[results[item] for item in items] for items in groups]

    def _commit(self, blocks: list[list[PreparedBatch]]) -> dict[PreparedBatch, BatchError]:
        if len(blocks) < 2:
            return commit(self._client, [batch for block in blocks for batch in block])
        # All leases are covered before any thread begins: a lease that is renewed later does not forget a batch.
        errors = cover([batch for block in blocks for batch in block])
        covered = [[batch for batch in block if batch not in errors] for block in blocks]
        with ThreadPoolExecutor(len(blocks)) as threads:
            # The client has no session, so that its queries may run at the same time.
            for found in threads.map(lambda block: send(self._client, block), covered):
                errors |= found
        return errors

    def hold(self, sources: Mapping[str, str]) -> tuple[dict[str, list[LedgerEntry]], dict[str, BatchError]]:
        """Take the leases of sources (with their descriptions) before their batches are written, all at once.

        Returns all that the ledger has of each, and the errors of those that cannot be written now, such as
        LockHeldError while another process keeps one. It does not wait: who holds leases must not wait for others.
        """
        errors: dict[str, BatchError] = {}
        taken: list[SourceLease] = []
        for source, description in sources.items():
            try:
                taken.append(self._take(source, description))
            except LockHeldError as error:
                errors[source] = error
        if not taken:
            return {}, errors
        resolve_all(self._client, taken)
        entries = entries_of(self._client, [lease.source for lease in taken])
        for lease in taken:
            try:
                lease.know(lease.ledger.writable(entries[lease.source]))
            except SourceError as error:
                errors[lease.source] = error
                del entries[lease.source]
        return entries, errors

    def open(self, arrived_at: dt.datetime) -> None:
        """Record with one insert that batches which arrive at ``arrived_at`` or later are sent, for all leases held."""
        open_all(self._client, [lease for lease, _ in self._leases.values()], arrived_at)

    def record(self, entries: Iterable[tuple[str, LedgerEntry]]) -> None:
        """Write entries of sources whose leases are held, such as the ends of files."""
        found = [(self._leases[source][0].ledger, entry) for source, entry in entries]
        retries.with_retries(lambda: record_entries(self._client, found))

    def release(self, *sources: str) -> None:
        """End the leases of sources: other processes may write them."""
        held = [self._leases.pop(source) for source in sources if source in self._leases]
        # A lease that cannot be closed costs the next writer a comparison. A lock that cannot be dropped is broken by
        # the next writer: this process does not want it any more.
        with contextlib.suppress(Error):
            close_all(self._client, [lease for lease, _ in held])
        for _, lock in held:
            with contextlib.suppress(Error):
                lock.close()

    def _take(self, source: str, description: str) -> SourceLease:
        with ExitStack() as stack:
            lock = stack.enter_context(server_lock(self._client, lock_name(source), wait_s=0))
            lease = SourceLease(self._client, Ledger(self._client, source, description), self._writer, lock)
            self._leases[source] = lease, stack.pop_all()
        return lease

    def _lease(self, item: SourceBatch) -> SourceLease:
        if item.source in self._leases and not self._leases[item.source][0].is_renewable:
            self.release(item.source)
        if item.source not in self._leases:
            with ExitStack() as stack:
                lease = stack.enter_context(
                    source_lease(self._client, item.source, item.description, self._writer, wait_s=_LOCK_WAIT_S)
                )
                self._leases[item.source] = lease, stack.pop_all()
        return self._leases[item.source][0]


def _check_disjoint(ready: PreparedBatch, others: dict[PreparedBatch, SourceBatch]) -> None:
    start, stop = ready.entry.range
    for other in others:
        if other.source == ready.source and start < other.entry.position_to and other.entry.position_from < stop:
            raise ValueError(f"Two batches of {ready.source} have common positions: {ready.entry.range}.")
