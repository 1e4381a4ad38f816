"""Write batches of readings into L1, each exactly once, even if processes are killed, repeated or run twice.

All readings reach L1 through this module or through group_writer.py, which does the same for several sources at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from iot_platform.readings.group_commit import commit
from iot_platform.readings.ledger import Ledger, Range, split_ranges, uncommitted_ranges
from iot_platform.readings.prepared_batch import Batch, prepare
from iot_platform.readings.source_lease import SourceLease, source_lease


class BatchWriter:
    """Writes the batches of one source through one client. Not thread-safe.

    ``source`` identifies the content: it must contain a hash of everything that determines which readings a range
    contains (the bytes of a file; the seed and settings of a simulator). If the content changed under the same name,
    readings would be lost, because the ledger says that their range is committed.
    """

    def __init__(self, client: Client, source: str, description: str = "") -> None:
        if not source:
            raise ValueError("A source needs a name.")
        self._client = client
        self._source = source
        self._description = description
        self._ledger = Ledger(client, source, description)
        self._writer = uuid4().hex
        self._lease: SourceLease | None = None

    @contextmanager
    def exclusive(self) -> Iterator[SourceLease]:
        """Hold the lease of the source, so that no other process writes it. Use it from ``ranges_to_write`` to the last
        ``write``: each batch is then a single insert.

        The other functions hold the lease for themselves if this writer does not. Raises PlatformError when another
        process keeps the source for too long.
        """
        if self._lease is not None:
            yield self._lease
            return
        with source_lease(self._client, self._source, self._description, self._writer) as lease:
            self._lease = lease
            try:
                yield lease
            finally:
                self._lease = None

    def uncommitted_ranges(self, position_from: int, position_to: int) -> list[Range]:
        """Ranges that are not committed yet, in order.

        A range whose insert got no response is returned with its old bounds, even if they exceed the given range. Write
        it as one batch.
        """
        return [uncommitted for uncommitted, _ in self._uncommitted(position_from, position_to)]

    def ranges_to_write(self, position_from: int, position_to: int, size: int) -> list[Range]:
        """``uncommitted_ranges``, split into ranges of at most ``size`` positions. Write each as one batch."""
        return list(split_ranges(self._uncommitted(position_from, position_to), size))

    def committed_readings(self, position_from: int, position_to: int) -> int:
        """Number of readings in the committed batches that overlap a range."""
        entries = self._ledger.entries(position_from, position_to)
        return sum(entry.readings for entry in entries if entry.state == "committed")

    def end(self) -> int | None:
        """Number of positions of a finite source; None until ``record_end`` has been called."""
        return self._ledger.end()

    def record_end(self, end: int) -> None:
        """Store that the source has no positions from ``end`` on."""
        self._ledger.record_end(end)

    def write(self, batch: Batch) -> int:
        """Insert a batch into L1 as one block; returns its number of readings, or 0 if it was committed before.

        If an earlier attempt has an unknown outcome, the batch is compared with L1 and only missing rows are inserted.
        Raises ValueError if the range overlaps a written range without being equal to it, SourceError if the source
        returns other readings than at the first attempt, and clickhouse_connect's Error if the server refuses the
        insert or stays unreachable; then the range stays uncommitted and the next run writes it.
        """
        with self.exclusive() as lease:
            prepared = prepare(self._client, lease, batch)
            if prepared is None:
                return 0
            for error in commit(self._client, [prepared]).values():
                raise error
        return batch.readings.num_rows

    def _uncommitted(self, position_from: int, position_to: int) -> list[tuple[Range, bool]]:
        with self.exclusive() as lease:
            if lease.doubtful:
                lease.resolve()
            return uncommitted_ranges(self._ledger.entries(position_from, position_to), position_from, position_to)
