"""A layer's definition: the SELECT of its materialized view, run over whole partitions instead of one block."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from iot_platform.clickhouse.client import escaped, quoted
from iot_platform.clickhouse.migrations import wait_for_migrations
from iot_platform.clickhouse_embedded.lexer import tokens
from iot_platform.errors import MigrationError
from iot_platform.layers.catalog import L2, Layer
from iot_platform.layers.partitions import ROWS_PER_QUERY, grouped, partition_rows

# Two blocks of staged rows may be identical without being a retry of each other.
NO_DEDUPLICATION = "insert_deduplicate = 0"

# Error codes of a query that fails because a migration changed the columns of its tables or views meanwhile.
CHANGED_COLUMNS_CODES = frozenset({8, 10, 16, 20, 47, 122})

T = TypeVar("T")


@dataclass(frozen=True)
class PartitionFingerprint:
    """The content of a partition, independent of the order of its rows: counts, energy and a checksum.

    ``kWh`` is for people. It is not compared: a sum of floats depends on their order.
    """

    rows: int = 0
    readings: int = 0
    kWh: Decimal = Decimal(0)
    checksum: int = 0

    def same_content(self, other: PartitionFingerprint) -> bool:
        """Whether both describe the same rows."""
        return (self.rows, self.readings, self.checksum) == (other.rows, other.readings, other.checksum)

    def __add__(self, other: PartitionFingerprint) -> PartitionFingerprint:
        return PartitionFingerprint(
            self.rows + other.rows,
            self.readings + other.readings,
            self.kWh + other.kWh,
            (self.checksum + other.checksum) % 2**64,
        )


class Definition:
    """A layer's transformation as ClickHouse stores it: SELECT, columns and partition key of the layer's table."""

    def __init__(self, client: Client, layer: Layer) -> None:
        """Read the definition from ClickHouse. Raises MigrationError when the view or the table does not exist."""
        self._client = client
        self.layer = layer
        rows = client.query(
            "SELECT name, as_select, partition_key FROM system.tables "
            "WHERE database = currentDatabase() AND name IN ({view:String}, {table:String})",
            parameters={"view": layer.view, "table": layer.table},
        ).result_rows
        found = {name: (select, key) for name, select, key in rows}
        if found.keys() != {layer.view, layer.table}:
            raise MigrationError(
                f"View {layer.view} or table {layer.table} is missing in database {client.database!r}. "
                "Run `iot-platform migrate`."
            )
        self._select = str(found[layer.view][0])
        self._partition_key = str(found[layer.table][1])
        columns = client.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
            "AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') ORDER BY position",
            parameters={"table": layer.table},
        ).result_rows
        self._columns = ", ".join(quoted(str(row[0])) for row in columns)

    def is_current(self) -> bool:
        """Whether ClickHouse still stores the same SELECT, columns and partition key."""
        now = Definition(self._client, self.layer)
        return (now._select, now._columns, now._partition_key) == (self._select, self._columns, self._partition_key)

    def expected(self, partitions: Sequence[str], *, source: str | None = None) -> dict[str, PartitionFingerprint]:
        """Run the definition over partitions of its source; ``source``: a copy to read instead."""
        table = source or self.layer.source
        return self._fingerprints(table, f"({self._rows_from(table)})", partitions, self.layer.source_piece_key)

    def actual(self, partitions: Sequence[str], *, table: str | None = None) -> dict[str, PartitionFingerprint]:
        """The partitions that the layer's table contains; ``table``: a copy to read instead."""
        name = table or self.layer.table
        final = " FINAL" if self.layer.needs_final else ""
        return self._fingerprints(name, f"{quoted(name)}{final}", partitions, self.layer.table_piece_key)

    def fill(self, target: str, partitions: Sequence[str], *, source: str | None = None) -> None:
        """Run the definition over partitions of its source (or of a copy of it) and insert the rows into ``target``."""
        table = source or self.layer.source
        for row_filter in self._row_filters(table, partitions, self.layer.source_piece_key):
            self._client.command(
                f"INSERT INTO {quoted(target)} ({self._columns}) SELECT {self._columns} "
                f"FROM ({self._select_from(table)}) {self._settings(table, row_filter)}, {NO_DEDUPLICATION}"
            )

    def duplicates(self, content: Mapping[str, PartitionFingerprint], *, source: str | None = None) -> dict[str, int]:
        """Duplicates by partition: valid rows of L1 beyond those that L2 has by ``content``. Other layers have none."""
        found = {name: -fingerprint.rows for name, fingerprint in content.items()}
        if self.layer is not L2:
            return dict.fromkeys(found, 0)
        table = source or self.layer.source
        for row_filter in self._row_filters(table, list(found), "device_id"):
            rows = self._client.query(
                f"SELECT _partition_id, count() FROM {quoted(table)} WHERE reject_reason = '' GROUP BY _partition_id "
                + self._settings(table, row_filter)
            ).result_rows
            for partition, count in rows:
                found[partition] += int(count)
        return found

    def _rows_from(self, table: str) -> str:
        """The rows that the layer has in the end: those of the definition, combined as merges do it."""
        select, key = self._select_from(table), ", ".join(self.layer.key)
        if not key:
            return select
        return (
            f"SELECT {key}, sum(made.total_kWh) AS total_kWh, sum(made.readings) AS readings, "
            f"max(made.max_kWh) AS max_kWh FROM ({select}) AS made GROUP BY {key}"
        )

    def _select_from(self, table: str) -> str:
        return _with_source(self._select, str(self._client.database), self.layer.source, table)

    def _fingerprints(
        self, table: str, relation: str, partitions: Sequence[str], piece_key: str
    ) -> dict[str, PartitionFingerprint]:
        found = dict.fromkeys(partitions, PartitionFingerprint())
        for row_filter in self._row_filters(table, partitions, piece_key):
            rows = self._client.query(
                f"SELECT toString({self._partition_key}) AS partition, count(), {self.layer.readings_sql}, "
                f"{self.layer.kWh_sql}, sum(cityHash64(tuple({self._columns}))) FROM {relation} GROUP BY partition "
                + self._settings(table, row_filter)
            ).result_rows
            for partition, count, readings, kWh, checksum in rows:
                found[partition] += PartitionFingerprint(int(count), int(readings), Decimal(str(kWh)), int(checksum))
        return found

    def _row_filters(self, table: str, partitions: Sequence[str], piece_key: str) -> Iterator[str]:
        """Conditions that split the rows of some partitions into pieces of bounded size."""
        rows = partition_rows(self._client, table)
        for group in grouped(partitions, rows):
            pieces = sum(rows.get(partition, 0) for partition in group) // ROWS_PER_QUERY + 1
            for piece in range(pieces):
                rows_of_piece = f" AND intHash32({piece_key}) % {pieces} = {piece}" if pieces > 1 else ""
                yield f"{in_partitions(group)}{rows_of_piece}"

    def _settings(self, table: str, row_filter: str) -> str:
        name = f"{self._client.database}.{table}"
        return f"SETTINGS additional_table_filters = {{'{escaped(name)}': '{escaped(row_filter)}'}}"


def with_definition(client: Client, layer: Layer, action: Callable[[Definition], T]) -> T:
    """Run ``action`` on a layer's definition; run it again if a migration changed the definition meanwhile."""
    while True:
        definition = Definition(client, layer)
        try:
            result = action(definition)
        except Error as error:
            if error.code not in CHANGED_COLUMNS_CODES:
                raise
            wait_for_migrations(client)
            if definition.is_current():
                raise
        else:
            if definition.is_current():
                return result


def in_partitions(partitions: Collection[str]) -> str:
    """The SQL condition that selects the rows of some partitions."""
    return "_partition_id IN (" + ", ".join(f"'{int(partition)}'" for partition in partitions) + ")"


def _with_source(select: str, database: str, source: str, table: str) -> str:
    """The SELECT ``select``, changed to read ``table`` instead of ``source``, both in ``database``.

    ``select`` is as ClickHouse stores it: names of tables with their database. Raises MigrationError when it does not
    read ``source``.
    """
    if table == source:
        return select
    found = list(tokens(select))
    result, position = [], 0
    for first, dot, second in zip(found, found[1:], found[2:], strict=False):
        if (first.name, dot.text, second.name) == (database, ".", source):
            result += [select[position : second.start], quoted(table)]
            position = second.end
    if not result:
        raise MigrationError(f"A view that should read {database}.{source} does not: {select}")
    return "".join([*result, select[position:]])
