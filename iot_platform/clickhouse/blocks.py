"""Insert rows as exactly one block: all rows or none are stored, in the table and in those that its views fill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import PINNED_SETTINGS

if TYPE_CHECKING:
    import pyarrow as pa

# An insert is atomic, and a deduplication token unambiguous, only for a single block. With these settings the server
# does not split the rows, neither for the table nor for its views: it flushes nothing before the end of the insert.
ONE_BLOCK: Mapping[str, int] = {
    **PINNED_SETTINGS,
    "max_insert_block_size": 2**31,
    "min_insert_block_size_rows": 2**31,
    "min_insert_block_size_bytes": 0,
    "min_insert_block_size_rows_for_materialized_views": 0,
    "min_insert_block_size_bytes_for_materialized_views": 0,
    # L4's views have already grouped the block by the table's key; merging it again would double that work. Only the
    # view of the mart by day has no GROUP BY: an insert stores a row for each hour, which merges combine later.
    "optimize_on_insert": 0,
}


def insert_block(client: Client, table: str, rows: pa.Table, *, token: str | None = None) -> None:
    """Insert ``rows`` (columns by name) as one block. A second insert with the same ``token`` stores nothing.

    Columns of whole UTC seconds are sent as the number that DateTime stores, so that the server need not convert them
    from DateTime64. Raises clickhouse_connect's Error when the server refuses.
    """
    settings: dict[str, int | str] = dict(ONE_BLOCK)
    if token is not None:
        settings["insert_deduplication_token"] = token
    client.raw_insert(table, rows.column_names, _arrow_stream(rows), settings=settings, fmt="ArrowStream")


def _arrow_stream(rows: pa.Table) -> bytes:
    import pyarrow as pa  # proofs need the settings above, but not Arrow

    for index, field in enumerate(rows.schema):
        if field.type == pa.timestamp("s", "UTC"):
            seconds = rows.column(index).cast(pa.int64()).cast(pa.uint32())
            rows = rows.set_column(index, field.name, seconds)
    sink = pa.BufferOutputStream()
    # One chunk per column becomes one record batch, and one record batch becomes one block.
    rows = rows.combine_chunks()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return sink.getvalue().to_pybytes()
