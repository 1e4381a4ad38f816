"""Keep the proofs of days that a mutation of L1 did not touch.

ClickHouse gives every part of a table a new name when it mutates some of them, so the version of each day of L1
changes. To compare all days again would cost hours where L1 is large.
"""

from __future__ import annotations

from collections.abc import Collection

from clickhouse_connect.driver.client import Client

from iot_platform.layers.catalog import DERIVED_LAYERS, RAW_TABLE
from iot_platform.layers.partitions import TableState, Version, table_state

# Later than the proof that it repeats, and earlier than any invalidation since.
_KEEP = """
INSERT INTO partition_proofs
SELECT * REPLACE (
    transform(partition_id, {days:Array(String)}, {after:Array(String)}, '') AS source_version,
    proved_at + toIntervalMicrosecond(1) AS proved_at
)
FROM
(
    SELECT * FROM
    (
        SELECT * FROM partition_proofs
        WHERE layer IN {layers:Array(String)}
        ORDER BY proved_at DESC
        LIMIT 1 BY layer, partition_id
    )
    WHERE is_equal AND source_version = transform(partition_id, {days:Array(String)}, {before:Array(String)}, 'other')
)
"""


def keep_other_proofs(client: Client, before: TableState, touched: Collection[str]) -> int:
    """After one mutation of L1 that changed rows in the days ``touched`` only: let the other proofs of L1's next layers
    apply to the new versions. Returns the number of days.

    ``before``: L1 before the mutation. A day is left out, and is unverified then, if anything else has changed it: a
    reading that arrived, or another mutation.
    """
    after = table_state(client, RAW_TABLE)
    own = _mutations(client)
    kept: list[tuple[str, str, str]] = []
    for day, version in after.versions.items():
        known = before.versions.get(day)
        if day in touched or not isinstance(version, Version) or not isinstance(known, Version):
            continue
        is_same = (version.block, version.rows) == (known.block, known.rows)
        if is_same and sum(known.mutation < number <= version.mutation for number in own) == 1:
            kept.append((day, str(known), str(version)))
    if kept:
        days, old, new = (list(values) for values in zip(*kept, strict=True))
        layers = [layer.name for layer in DERIVED_LAYERS if layer.source == RAW_TABLE]
        client.command(_KEEP, parameters={"days": days, "before": old, "after": new, "layers": layers})
    return len(kept)


def _mutations(client: Client) -> list[int]:
    """The numbers of all mutations of L1 that ClickHouse still knows: the last hundred at least."""
    rows = client.query(
        "SELECT arrayJoin(block_numbers.number) FROM system.mutations "
        f"WHERE database = currentDatabase() AND table = '{RAW_TABLE}'"
    ).result_rows
    return [int(row[0]) for row in rows]
