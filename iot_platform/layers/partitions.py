"""Partitions of a table: their rows, their versions, and groups of them that fit into one query. No data is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from iot_platform.layers.catalog import DERIVED_LAYERS, RAW_TABLE, Layer

# One query of a proof reads about as many rows as this at most, so that its memory does not grow with the days it
# covers or with the size of a day: small days go together, a large day is cut into slices of devices.
ROWS_PER_QUERY = 10_000_000


@dataclass(frozen=True)
class Version:
    """Whatever is written, deleted or changed in a partition gives it another version; ClickHouse's merges do not.

    Newest block, newest mutation, and number of rows (None where merges change it). Block numbers of a table only grow
    while it is in use. Parts without rows do not count: ClickHouse drops them by itself, some seconds later. Should it
    merge one with others before that, or drop rows that a DELETE FROM has hidden, there is one proof too many.
    """

    block: int
    mutation: int
    rows: int | None

    def __str__(self) -> str:
        return f"{self.block}/{self.mutation}" + ("" if self.rows is None else f"/{self.rows}")


def partition_versions(client: Client, table: str, *, merges_rows: bool = False) -> dict[str, Version]:
    """The version of each partition that a table has."""
    rows = client.query(
        # The fifth word of a part's name is its mutation: 20260103_1_9_2_10.
        "SELECT partition_id, max(max_block_number), max(toUInt64OrZero(splitByChar('_', name)[5])), sum(rows) "
        "FROM system.parts WHERE active AND rows > 0 AND database = currentDatabase() AND table = {table:String} "
        "GROUP BY partition_id",
        parameters={"table": table},
    ).result_rows
    return {
        str(partition): Version(int(block), int(mutation), None if merges_rows else int(count))
        for partition, block, mutation, count in rows
    }


def partition_rows(client: Client, table: str) -> dict[str, int]:
    """Rows of each partition of a table."""
    return {name: version.rows or 0 for name, version in partition_versions(client, table).items()}


def part_names(client: Client, table: str, partitions: Sequence[str]) -> set[str]:
    """Names of the parts of some partitions. A part never changes; merged with others it gets another name."""
    rows = client.query(
        "SELECT name FROM system.parts WHERE active AND database = currentDatabase() AND table = {table:String} "
        "AND partition_id IN {partitions:Array(String)}",
        parameters={"table": table, "partitions": list(partitions)},
    ).result_rows
    return {str(row[0]) for row in rows}


def partitions(client: Client, layers: Sequence[Layer] = DERIVED_LAYERS) -> list[str]:
    """Every partition that L1 or one of the layers has, oldest first."""
    tables = [RAW_TABLE, *(layer.table for layer in layers)]
    return sorted({name for table in tables for name in partition_rows(client, table)}, key=int)


def grouped(partitions: Sequence[str], rows: Mapping[str, int]) -> Iterator[list[str]]:
    """Partitions in their order, as many together as have ROWS_PER_QUERY rows; a larger one stands alone."""
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
