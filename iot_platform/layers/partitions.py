"""Partitions of a table: row counts, versions, and groups that fit into one query. No data is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from iot_platform.layers.catalog import DERIVED_LAYERS, MERGED_TABLES, RAW_TABLE, Layer

# Most rows that one query of a proof reads, roughly, so that its memory is bounded. Small days are read together; a
# large day is read in several pieces.
ROWS_PER_QUERY = 10_000_000


@dataclass(frozen=True)
class Version:
    """The version of a partition's content. Every insert, delete and mutation changes it; ClickHouse's merges do not.

    It consists of the newest block, the newest mutation, and the number of rows (None where merges change it). Block
    numbers of a table only grow while it is in use. Parts without rows are ignored, because ClickHouse drops them some
    seconds later. If it merges one of them before that, or drops rows that a DELETE FROM has hidden, the version
    changes without need and the partition is proved once more.
    """

    block: int
    mutation: int
    rows: int | None

    def __str__(self) -> str:
        return f"{self.block}/{self.mutation}" + ("" if self.rows is None else f"/{self.rows}")


def partition_versions(client: Client, table: str) -> dict[str, Version]:
    """The version of each partition of a table."""
    has_rows = table not in MERGED_TABLES
    return {
        partition: Version(block, mutation, rows if has_rows else None)
        for partition, (block, mutation, rows) in _states(client, table).items()
    }


def partition_rows(client: Client, table: str) -> dict[str, int]:
    """The number of rows in each partition of a table."""
    return {partition: rows for partition, (_, _, rows) in _states(client, table).items()}


def _states(client: Client, table: str) -> dict[str, tuple[int, int, int]]:
    """For each partition of a table: its newest block, its newest mutation, and the number of its rows."""
    rows = client.query(
        # The fifth field of a part's name is its mutation: 20260103_1_9_2_10.
        "SELECT partition_id, max(max_block_number), max(toUInt64OrZero(splitByChar('_', name)[5])), sum(rows) "
        "FROM system.parts WHERE active AND rows > 0 AND database = currentDatabase() AND table = {table:String} "
        "GROUP BY partition_id",
        parameters={"table": table},
    ).result_rows
    return {str(partition): (int(block), int(mutation), int(count)) for partition, block, mutation, count in rows}


def part_names(client: Client, table: str, partitions: Sequence[str]) -> set[str]:
    """Names of the data parts of some partitions. A part never changes; a merge makes a new part with another name."""
    rows = client.query(
        "SELECT name FROM system.parts WHERE active AND database = currentDatabase() AND table = {table:String} "
        "AND partition_id IN {partitions:Array(String)}",
        parameters={"table": table, "partitions": list(partitions)},
    ).result_rows
    return {str(row[0]) for row in rows}


def partitions(client: Client, layers: Sequence[Layer] = DERIVED_LAYERS) -> list[str]:
    """All partitions of L1 and of the layers, oldest first."""
    tables = [RAW_TABLE, *(layer.table for layer in layers)]
    return sorted({name for table in tables for name in partition_rows(client, table)}, key=int)


def grouped(partitions: Sequence[str], rows: Mapping[str, int]) -> Iterator[list[str]]:
    """Split partitions into groups of at most ROWS_PER_QUERY rows, in order; a larger partition is its own group."""
    group: list[str] = []
    size = 0
    for partition in partitions:
        count = rows.get(partition, 0)
        if group and size + count > ROWS_PER_QUERY:
            yield group
            group, size = [], 0
        group.append(partition)
        size += count
    if group:
        yield group
