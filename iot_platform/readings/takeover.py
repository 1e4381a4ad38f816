"""Complete the ledgers of sources whose last writer ended without closing its leases: it may have been killed.

The ledger entry of a batch is written by a view of L1. ClickHouse promises no order between a table and its views, and
a batch of several days is several parts of L1. So nothing is assumed of what a killed insert has left: the readings of
each range are counted in both.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.readings.ledger import Ledger, LedgerEntry, Range, record_entries

RUNNING_INSERT_WAIT_S = 600.0


@dataclass(frozen=True)
class LeftOpen:
    """A lease that its writer did not close: its ledger, and the writer, arrivals_from and recorded_at of the lease."""

    ledger: Ledger
    writer: str
    arrivals_from: dt.datetime
    recorded_at: dt.datetime


def complete_ledgers(client: Client, leases: Sequence[LeftOpen]) -> None:
    """Record each range as "sending" that L1 and the ledger do not have with the same number of readings.

    Such a range is compared reading by reading when it is written the next time. Only batches that arrived at
    ``arrivals_from`` or later are counted, and entries from before ``recorded_at`` were confirmed by the server.
    """
    prefixes = {f"{prefix}/" for lease in leases for prefix in (lease.ledger.source, lease.writer)}
    wait_for_running_inserts(client, *sorted(prefixes))
    in_l1 = _in_l1(client, leases)
    unknown = [(lease.ledger, entry) for lease in leases for entry in _unknown(lease, in_l1[lease.ledger.source])]
    record_entries(client, unknown)


def _unknown(lease: LeftOpen, found: Mapping[Range, tuple[int, dt.datetime]]) -> list[LedgerEntry]:
    """The ranges of a lease whose outcome is not known. ``found``: number of readings and arrival time in L1."""
    ledger = lease.ledger
    known = {entry.range: entry for entry in ledger.arrived_since(lease.arrivals_from)}
    unknown: dict[Range, LedgerEntry] = {}
    for bounds, (_, arrived_at) in found.items():
        if bounds not in known:
            unknown[bounds] = ledger.unknown_outcome(bounds, arrived_at)
    for bounds, entry in known.items():
        count, arrived_at = found.get(bounds, (0, entry.ingested_at))
        is_new = entry.state == "committed" and entry.recorded_at >= lease.recorded_at
        if is_new and entry.readings != count:
            unknown[bounds] = ledger.unknown_outcome(bounds, arrived_at)
    return list(unknown.values())


def wait_for_running_inserts(client: Client, *token_prefixes: str) -> None:
    """Wait until no insert runs whose token has one of these beginnings; raises PlatformError after ten minutes."""
    deadline = time.monotonic() + RUNNING_INSERT_WAIT_S
    idle_checks = 0
    # Two checks without such an insert: the server may not have started the request of a killed writer at the first.
    while idle_checks < 2:
        rows = client.query(
            "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND arrayExists("
            "prefix -> startsWith(Settings['insert_deduplication_token'], prefix), {prefixes:Array(String)})",
            parameters={"prefixes": list(token_prefixes)},
        ).result_rows
        idle_checks = 0 if rows[0][0] else idle_checks + 1
        if time.monotonic() > deadline:
            raise PlatformError(
                f"An earlier insert of {token_prefixes[0]} is still running after {RUNNING_INSERT_WAIT_S:.0f} s. "
                "Nothing was inserted. Look for it in system.processes; once it is gone, the next attempt writes it."
            )
        time.sleep(0.1)


def _in_l1(client: Client, leases: Sequence[LeftOpen]) -> dict[str, dict[Range, tuple[int, dt.datetime]]]:
    """The ranges of each source that L1 has readings of: their number, and the arrival time of the batch."""
    since = {lease.ledger.source: lease.arrivals_from for lease in leases}
    found: dict[str, dict[Range, tuple[int, dt.datetime]]] = {source: {} for source in since}
    rows = client.query(
        "SELECT source, position_from, position_to, count(), min(ingested_at) "
        f"FROM {RAW_TABLE} WHERE ingested_at >= {{since:DateTime64(6, 'UTC')}} AND source IN {{sources:Array(String)}} "
        "GROUP BY source, position_from, position_to",
        parameters={"sources": list(since), "since": min(since.values())},
    ).result_rows
    for source, start, stop, count, moment in rows:
        arrived_at = moment.replace(tzinfo=dt.UTC)
        if arrived_at >= since[source]:
            found[source][start, stop] = int(count), arrived_at
    return found
