"""Send prepared batches, also of several sources, with one insert: the readings, and by a view their ledger entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from uuid import uuid4

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from iot_platform.clickhouse import retries
from iot_platform.errors import PlatformError
from iot_platform.readings.arrival_times import in_key_order
from iot_platform.readings.exactly_once import insert_missing, insert_once
from iot_platform.readings.ledger import record_entries
from iot_platform.readings.prepared_batch import PreparedBatch
from iot_platform.readings.source_lease import SourceLease
from iot_platform.readings.takeover import wait_for_running_inserts

# What may go wrong with one batch while the others are written.
BatchError = ClickHouseError | PlatformError | ValueError
BATCH_ERRORS = (ClickHouseError, PlatformError, ValueError)


def commit(client: Client, batches: Sequence[PreparedBatch]) -> dict[PreparedBatch, BatchError]:
    """Write batches of which no two have common positions; returns the errors of those that are not committed.

    When the server refuses an insert of several batches, each is written by itself: a bad one does not hold up others.
    After an error of the server the outcome of a batch is not known; its range is in ``lease.doubtful``.
    """
    errors = cover(batches)
    return errors | send(client, [batch for batch in batches if batch not in errors])


def cover(batches: Sequence[PreparedBatch]) -> dict[PreparedBatch, BatchError]:
    """Make sure that a takeover would look for the batches, before they are sent; returns the errors."""
    errors: dict[PreparedBatch, BatchError] = {}
    for lease, group in _by_lease(batches):
        try:
            lease.cover(min(batch.entry.ingested_at for batch in group))
        except BATCH_ERRORS as error:
            if is_lost(error):
                return dict.fromkeys(batches, error)
            errors.update(dict.fromkeys(group, error))
    return errors


def send(client: Client, batches: Sequence[PreparedBatch]) -> dict[PreparedBatch, BatchError]:
    """Like ``commit``, for batches that are covered. Several threads may do this with batches of the same sources."""
    errors: dict[PreparedBatch, BatchError] = {}
    _commit_empty(client, [batch for batch in batches if not batch.rows.num_rows], errors)
    filled = [batch for batch in batches if batch.rows.num_rows]
    for batch in filled:
        if batch.was_sent:
            _commit_missing(client, batch, errors)
    # Columns that some batches have and others lack would get NULL instead of their default.
    fresh = sorted((batch for batch in filled if not batch.was_sent), key=_columns)
    for _, same in groupby(fresh, key=_columns):
        _commit_fresh(client, list(same), errors)
    return errors


def is_lost(error: BatchError) -> bool:
    """Whether the server did not answer, or was too busy, at all attempts."""
    return isinstance(error, Error) and retries.is_transient(error)


def _commit_fresh(client: Client, batches: list[PreparedBatch], errors: dict[PreparedBatch, BatchError]) -> None:
    for batch in batches:
        batch.lease.sent(batch.entry.range)
    first = batches[0]
    # A new token for each attempt of a writer. ClickHouse notes a token before it has stored the part: after a kill in
    # between, an insert with the token of the lost one would be dropped.
    token = f"{first.entry.token if len(batches) == 1 else first.lease.writer}/{uuid4().hex}"
    rows = in_key_order(pa.concat_tables([batch.rows for batch in batches]).combine_chunks())

    def after_restart() -> None:
        for batch in batches:
            _complete(client, batch)

    try:
        insert_once(client, rows, token, first.lease.now(), after_restart)
    except BATCH_ERRORS as error:
        if len(batches) == 1 or is_lost(error):
            errors.update(dict.fromkeys(batches, error))
            return
        # Refused, but L1 may have it: a view may have failed.
        wait_for_running_inserts(client, token)
        for batch in batches:
            _commit_missing(client, batch, errors)
        return
    for batch in batches:
        batch.lease.doubtful.discard(batch.entry.range)


def _commit_missing(client: Client, batch: PreparedBatch, errors: dict[PreparedBatch, BatchError]) -> None:
    """Write a batch with an unknown outcome. Its entry is written last: the view counted only what was missing."""
    batch.lease.sent(batch.entry.range)
    try:
        retries.with_retries(lambda: _complete(client, batch))
    except BATCH_ERRORS as error:
        errors[batch] = error
    else:
        batch.lease.doubtful.discard(batch.entry.range)


def _complete(client: Client, batch: PreparedBatch) -> None:
    insert_missing(client, batch)
    batch.lease.ledger.record(batch.entry)


def _commit_empty(client: Client, batches: list[PreparedBatch], errors: dict[PreparedBatch, BatchError]) -> None:
    """Batches without readings are only entries of the ledger: to write one twice changes nothing."""
    try:
        retries.with_retries(lambda: record_entries(client, [(batch.lease.ledger, batch.entry) for batch in batches]))
    except Error as error:
        errors.update(dict.fromkeys(batches, error))
    else:
        for batch in batches:
            batch.lease.sent(batch.entry.range)
            batch.lease.doubtful.discard(batch.entry.range)


def _by_lease(batches: Iterable[PreparedBatch]) -> list[tuple[SourceLease, list[PreparedBatch]]]:
    found: dict[str, list[PreparedBatch]] = {}
    for batch in batches:
        found.setdefault(batch.source, []).append(batch)
    return [(group[0].lease, group) for group in found.values()]


def _columns(batch: PreparedBatch) -> str:
    return batch.rows.schema.to_string(show_field_metadata=False, show_schema_metadata=False)
