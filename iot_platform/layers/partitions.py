"""Partitions of a table: row counts, versions, and groups that fit into one query.

No data is read, except of the marts with a partition for each month; see layers/day_versions.py.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from iot_platform.layers.catalog import (
    DERIVED_LAYERS,
    MERGED_TABLES,
    MONTHLY_TABLES,
    RAW_TABLE,
    Layer,
    partition_month,
)
from iot_platform.layers.day_versions import CONTENT, DayVersion, Month, days_of_months

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


@dataclass(frozen=True)
class TableState:
    """A table at one moment: the version, the number of rows and the number of data parts of each partition.

    ``is_monthly``: it has a partition for each month. Its versions and rows are still listed by day.
    """

    name: str
    versions: Mapping[str, Version | DayVersion]
    rows: Mapping[str, int]
    parts: Mapping[str, int]
    is_monthly: bool = False

    def version(self, partition: str) -> str:
        """The version of a partition as text; empty if there is no such partition."""
        return str(self.versions.get(partition, ""))

    def partition_ids(self, days: Iterable[str]) -> list[str]:
        """The partitions of the table that hold some days."""
        held = (day for day in days if day in self.rows)
        return sorted({partition_month(day) for day in held} if self.is_monthly else set(held))


def table_states(
    client: Client, tables: Collection[str], days: Collection[str] | None = None
) -> tuple[dt.datetime, dict[str, TableState]]:
    """The states of several tables, read in one query, and the server's time before it read them.

    ``days``: of a table with a partition for each month, only the months of these days are wanted, which saves reading
    the others.
    """
    # The time is a constant of the query, so it is taken before the query reads anything.
    at, found = client.query(
        # The fifth field of a part's name is its mutation: 20260103_1_9_2_10.
        "SELECT now64(6, 'UTC'), groupArray((table, partition_id, block, mutation, row_count, part_count, content)) "
        "FROM (SELECT table, partition_id, max(max_block_number) AS block, "
        "max(toUInt64OrZero(splitByChar('_', name)[5])) AS mutation, sum(rows) AS row_count, count() AS part_count, "
        f"{CONTENT} AS content "
        "FROM system.parts WHERE active AND rows > 0 AND database = currentDatabase() "
        "AND table IN {tables:Array(String)} GROUP BY table, partition_id)",
        parameters={"tables": sorted(set(tables))},
    ).result_rows[0]
    versions: dict[str, dict[str, Version]] = {table: {} for table in tables}
    rows: dict[str, dict[str, int]] = {table: {} for table in tables}
    parts: dict[str, dict[str, int]] = {table: {} for table in tables}
    months: dict[str, list[Month]] = {table: [] for table in tables}
    wanted = None if days is None else {partition_month(day) for day in days}
    for table, partition, block, mutation, row_count, part_count, content in found:
        versions[table][partition] = Version(
            int(block), int(mutation), None if table in MERGED_TABLES else int(row_count)
        )
        rows[table][partition] = int(row_count)
        parts[table][partition] = int(part_count)
        if wanted is None or partition in wanted:
            months[table].append(Month(partition, int(content)))
    states = {
        table: _by_day(client, table, months[table], parts[table])
        if table in MONTHLY_TABLES
        else TableState(table, versions[table], rows[table], parts[table])
        for table in tables
    }
    return at.replace(tzinfo=dt.UTC), states


def _by_day(client: Client, table: str, months: Sequence[Month], parts: Mapping[str, int]) -> TableState:
    found = days_of_months(client, MONTHLY_TABLES[table], months)
    return TableState(
        table,
        {day: version for day, (version, _) in found.items()},
        {day: rows for day, (_, rows) in found.items()},
        {day: parts[partition_month(day)] for day in found},
        is_monthly=True,
    )


def table_state(client: Client, table: str) -> TableState:
    """The state of one table."""
    return table_states(client, [table])[1][table]


def partition_versions(client: Client, table: str) -> Mapping[str, Version | DayVersion]:
    """The version of each partition of a table."""
    return table_state(client, table).versions


def partition_rows(client: Client, table: str) -> Mapping[str, int]:
    """The number of rows in each partition of a table."""
    return table_state(client, table).rows


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
    _, states = table_states(client, [RAW_TABLE, *(layer.table for layer in layers)])
    return all_partitions(states.values())


def all_partitions(states: Iterable[TableState]) -> list[str]:
    """The partitions that any of the tables has, oldest first."""
    return sorted({name for state in states for name in state.rows}, key=int)


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


def row_filters(table: TableState, partitions: Sequence[str], piece_key: str) -> Iterator[str]:
    """Conditions that split the rows of some partitions into pieces of bounded size."""
    for group in grouped(partitions, table.rows):
        pieces = max(1, math.ceil(sum(table.rows.get(partition, 0) for partition in group) / ROWS_PER_QUERY))
        for piece in range(pieces):
            rows_of_piece = f" AND intHash32({piece_key}) % {pieces} = {piece}" if pieces > 1 else ""
            yield f"{in_days(group) if table.is_monthly else in_partitions(group)}{rows_of_piece}"


def in_days(days: Collection[str]) -> str:
    """The SQL condition that selects the rows of some days of a mart."""
    return f"toYYYYMMDD(ts_hour) IN ({', '.join(str(int(day)) for day in days)})"


def in_partitions(partitions: Collection[str]) -> str:
    """The SQL condition that selects the rows of some partitions."""
    return "_partition_id IN (" + ", ".join(f"'{int(partition)}'" for partition in partitions) + ")"
