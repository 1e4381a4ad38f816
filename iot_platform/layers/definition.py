"""A layer's definition: the SELECT of its materialized view, run for whole partitions instead of one inserted block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from iot_platform.clickhouse.client import escaped, quoted
from iot_platform.clickhouse.migrations import wait_for_migrations
from iot_platform.clickhouse.statements import with_source
from iot_platform.errors import MigrationError
from iot_platform.layers import partitions as sizes
from iot_platform.layers.catalog import L2, Layer

# Staged rows are copies: two pieces may be equal to the letter, and neither is a retry of the other.
NO_DEDUPLICATION = "insert_deduplicate = 0"

# What a query gets whose tables and views a migration changes under it: other columns than it was written for.
CHANGED_COLUMNS_CODES = frozenset({8, 10, 16, 20, 47, 122})

T = TypeVar("T")


@dataclass(frozen=True)
class Fingerprint:
    """What a set of rows is, independent of their order: number of rows, readings, energy, and a checksum."""

    rows: int = 0
    readings: int = 0
    kWh: Decimal = Decimal(0)
    checksum: int = 0

    def same_content(self, other: Fingerprint) -> bool:
        """True when both are the same rows. (kWh is left out: a sum of floats depends on their order.)"""
        return (self.rows, self.readings, self.checksum) == (other.rows, other.readings, other.checksum)

    def __add__(self, other: Fingerprint) -> Fingerprint:
        return Fingerprint(
            self.rows + other.rows,
            self.readings + other.readings,
            self.kWh + other.kWh,
            (self.checksum + other.checksum) % 2**64,
        )


class Definition:
    """The text of a layer's transformation as ClickHouse has it, with the layer's columns and its partition key."""

    def __init__(self, client: Client, layer: Layer) -> None:
        """Read them back from ClickHouse. Raises MigrationError when the view or the table is not there."""
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
        """Whether ClickHouse still has the same text, columns and partition key."""
        now = Definition(self._client, self.layer)
        return (now._select, now._columns, now._partition_key) == (self._select, self._columns, self._partition_key)

    def expected(self, partitions: Sequence[str], *, source: str | None = None) -> dict[str, Fingerprint]:
        """Fingerprints of what the definition makes of partitions now: of those of its source, or of a copy of it."""
        table = source or self.layer.source
        return self._fingerprints(table, f"({self._select_from(table)})", partitions, self.layer.source_piece_key)

    def actual(self, partitions: Sequence[str], *, table: str | None = None) -> dict[str, Fingerprint]:
        """Fingerprints of partitions of the layer's table, or of a copy of it."""
        name = table or self.layer.table
        final = " FINAL" if self.layer.final else ""
        return self._fingerprints(name, f"{quoted(name)}{final}", partitions, self.layer.own_piece_key)

    def fill(self, target: str, partitions: Sequence[str], *, source: str | None = None) -> None:
        """Insert what the definition makes of partitions of its source, or of a copy of it, into a table."""
        table = source or self.layer.source
        for row_filter in self._row_filters(table, partitions, self.layer.source_piece_key):
            self._client.command(
                f"INSERT INTO {quoted(target)} ({self._columns}) SELECT {self._columns} "
                f"FROM ({self._select_from(table)}) {self._only(table, row_filter)}, {NO_DEDUPLICATION}"
            )

    def duplicates(self, content: Mapping[str, Fingerprint], *, source: str | None = None) -> dict[str, int]:
        """Of L2: valid rows of its source, by partition, beyond those of ``content``; of other layers: none."""
        found = {name: -fingerprint.rows for name, fingerprint in content.items()}
        if self.layer is not L2:
            return dict.fromkeys(found, 0)
        table = source or self.layer.source
        for row_filter in self._row_filters(table, list(found), "device_id"):
            rows = self._client.query(
                f"SELECT _partition_id, count() FROM {quoted(table)} WHERE reject_reason = '' GROUP BY _partition_id "
                + self._only(table, row_filter)
            ).result_rows
            for partition, count in rows:
                found[partition] += int(count)
        return found

    def _select_from(self, table: str) -> str:
        return with_source(self._select, str(self._client.database), self.layer.source, table)

    def _fingerprints(
        self, table: str, relation: str, partitions: Sequence[str], piece_key: str
    ) -> dict[str, Fingerprint]:
        found = dict.fromkeys(partitions, Fingerprint())
        for row_filter in self._row_filters(table, partitions, piece_key):
            rows = self._client.query(
                f"SELECT toString({self._partition_key}) AS partition, count(), {self.layer.readings}, "
                f"{self.layer.kWh}, sum(cityHash64(tuple({self._columns}))) FROM {relation} GROUP BY partition "
                + self._only(table, row_filter)
            ).result_rows
            for partition, count, readings, kWh, checksum in rows:
                found[partition] += Fingerprint(int(count), int(readings), Decimal(str(kWh)), int(checksum))
        return found

    def _row_filters(self, table: str, partitions: Sequence[str], piece_key: str) -> Iterator[str]:
        """Conditions on the rows of a table that together make up the partitions, in pieces of bounded size."""
        rows = sizes.partition_rows(self._client, table)
        for group in sizes.grouped(partitions, rows):
            slices = sum(rows.get(partition, 0) for partition in group) // sizes.ROWS_PER_QUERY + 1
            for piece in range(slices):
                rows_of_piece = f" AND intHash32({piece_key}) % {slices} = {piece}" if slices > 1 else ""
                yield f"{in_partitions(group)}{rows_of_piece}"

    def _only(self, table: str, row_filter: str) -> str:
        name = f"{self._client.database}.{table}"
        return f"SETTINGS additional_table_filters = {{'{escaped(name)}': '{escaped(row_filter)}'}}"


def with_definition(client: Client, layer: Layer, action: Callable[[Definition], T]) -> T:
    """What ``action`` makes of a layer's definition; made again when a migration has changed that meanwhile."""
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


def in_partitions(partitions: Sequence[str]) -> str:
    """The condition on a table's rows to lie in one of the partitions."""
    return "_partition_id IN (" + ", ".join(f"'{int(partition)}'" for partition in partitions) + ")"
