"""Complete the ledger of a source whose last writer ended without closing its lease: it may have been killed.

The ledger entry of a batch is written by a view of L1. ClickHouse promises no order between a table and its views, and
a batch of several days is several parts of L1. So nothing is assumed of what a killed insert has left: the readings of
each range are counted in both.
"""

from __future__ import annotations

import datetime as dt
import time

from clickhouse_connect.driver.client import Client

from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.readings.ledger import Ledger, LedgerEntry, Range

RUNNING_INSERT_WAIT_S = 600.0


def complete_ledger(
    client: Client, ledger: Ledger, writer: str, arrivals_from: dt.datetime, recorded_at: dt.datetime
) -> None:
    """Record each range as "sending" that L1 and the ledger do not have with the same number of readings.

    Such a range is compared reading by reading when it is written the next time. ``writer``, ``arrivals_from`` and
    ``recorded_at`` are those of the lease: only batches that arrived at ``arrivals_from`` or later are counted, and
    entries from before ``recorded_at`` were confirmed by the server.
    """
    wait_for_running_inserts(client, f"{ledger.source}/", f"{writer}/")
    known = {entry.range: entry for entry in ledger.arrived_since(arrivals_from)}
    found = _in_l1(client, ledger.source, arrivals_from)
    unknown: dict[Range, LedgerEntry] = {}
    for bounds, (_, arrived_at) in found.items():
        if bounds not in known:
            unknown[bounds] = ledger.unknown_outcome(bounds, arrived_at)
    for bounds, entry in known.items():
        count, arrived_at = found.get(bounds, (0, entry.ingested_at))
        is_new = entry.state == "committed" and entry.recorded_at >= recorded_at
        if is_new and entry.readings != count:
            unknown[bounds] = ledger.unknown_outcome(bounds, arrived_at)
    ledger.record(*unknown.values())


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


def _in_l1(client: Client, source: str, arrivals_from: dt.datetime) -> dict[Range, tuple[int, dt.datetime]]:
    """The ranges of a source that L1 has readings of: their number, and the arrival time of the batch."""
    rows = client.query(
        "SELECT position_from, position_to, count(), min(ingested_at) "
        f"FROM {RAW_TABLE} WHERE ingested_at >= {{since:DateTime64(6, 'UTC')}} AND source = {{source:String}} "
        "GROUP BY position_from, position_to",
        parameters={"source": source, "since": arrivals_from},
    ).result_rows
    return {(start, stop): (int(count), arrived_at.replace(tzinfo=dt.UTC)) for start, stop, count, arrived_at in rows}
