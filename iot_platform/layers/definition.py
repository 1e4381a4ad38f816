"""A layer's definition: the SELECT of its materialized view, run over whole partitions instead of one block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from iot_platform.clickhouse.client import escaped, quoted
from iot_platform.clickhouse.migrations import wait_for_migrations
from iot_platform.errors import MigrationError
from iot_platform.layers.catalog import L2, Layer
from iot_platform.layers.partitions import TableState, row_filters, table_state
from iot_platform.layers.select_text import with_source
from iot_platform.layers.unsorted import without_sort

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
        tables, columns = client.query(
            "SELECT (SELECT groupArray((name, as_select, partition_key, sorting_key)) FROM system.tables "
            "WHERE database = currentDatabase() AND name IN ({view:String}, {table:String})), "
            "(SELECT groupArray(name) FROM (SELECT name FROM system.columns "
            "WHERE database = currentDatabase() AND table = {table:String} "
            "AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') ORDER BY position))",
            parameters={"view": layer.view, "table": layer.table},
        ).result_rows[0]
        found = {name: values for name, *values in tables}
        if found.keys() != {layer.view, layer.table}:
            raise MigrationError(
                f"View {layer.view} or table {layer.table} is missing in database {client.database!r}. "
                "Run `iot-platform migrate`."
            )
        self._select = str(found[layer.view][0])
        self._partition_key, sorting_key = map(str, found[layer.table][1:])
        # Everything is by day, also where the table has a partition for each month.
        self._day = f"toYYYYMMDD({layer.time_column})" if layer.is_monthly else self._partition_key
        self._columns = ", ".join(quoted(str(name)) for name in columns)
        unsorted = without_sort(self._select)
        # Only for the key that the table is sorted by: then its keys are counted in order, and equal keys are in the
        # same partition and in the same piece of it.
        is_sorted = unsorted is not None and set(unsorted.keys) == set(sorting_key.split(", "))
        self._unsorted = unsorted if is_sorted else None

    def is_current(self) -> bool:
        """Whether ClickHouse still stores the same SELECT, columns and partition key."""
        now = Definition(self._client, self.layer)
        return (now._select, now._columns, now._partition_key) == (self._select, self._columns, self._partition_key)

    def expected(
        self, partitions: Sequence[str], *, source: str | TableState | None = None
    ) -> dict[str, PartitionFingerprint]:
        """Run the definition over partitions of its source; ``source``: a copy, or the state of the table to read."""
        state = self._state(source or self.layer.source)
        relation = f"({self._rows_from(state.name)})"
        return self._fingerprints(state, relation, partitions, self.layer.source_piece_key)

    def actual(
        self, partitions: Sequence[str], *, table: str | TableState | None = None
    ) -> dict[str, PartitionFingerprint]:
        """The partitions that the layer's table contains; ``table``: a copy, or the state of the table to read."""
        # A copy of a table with months has no days of its own.
        state = replace(self._state(table or self.layer.table), is_monthly=self.layer.is_monthly)
        final = " FINAL" if self.layer.needs_final else ""
        return self._fingerprints(state, f"{quoted(state.name)}{final}", partitions, self.layer.table_piece_key)

    def expected_beside(
        self, actual: Mapping[str, PartitionFingerprint], source: TableState, table: TableState
    ) -> tuple[dict[str, PartitionFingerprint], dict[str, int]]:
        """``expected`` and ``duplicates`` of the partitions that ``table`` contains as ``actual``, at the least cost.

        A definition that sorts, to keep one row of each key, is first run without its sort (see unsorted.py). Where
        that makes the very rows that the layer has, and the layer has no key twice, no key is twice in the source
        either. So the sort would change nothing, and it is left out. Everywhere else the whole definition runs.
        """
        if self._unsorted is None:
            expected = self.expected(list(actual), source=source)
            return expected, self.duplicates(expected, source=source)
        relation = f"({self._select_from(self._unsorted.select, source.name)})"
        # Without kWh: equal rows have equal energy, and the energy of other rows is not needed.
        every = self._fingerprints(source, relation, list(actual), self.layer.source_piece_key, kWh="0")
        alike = [name for name, content in actual.items() if every[name].same_content(content)]
        keys = self._count_keys(table, alike, self._unsorted.keys)
        settled = {name: actual[name] for name in alike if keys[name] == actual[name].rows}
        expected = settled | self.expected([name for name in actual if name not in settled], source=source)
        return expected, {name: every[name].rows - expected[name].rows for name in actual}

    def fill(self, target: str, partitions: Sequence[str], *, source: str | None = None) -> None:
        """Run the definition over partitions of its source (or of a copy of it) and insert the rows into ``target``."""
        state = self._state(source or self.layer.source)
        for row_filter in row_filters(state, partitions, self.layer.source_piece_key):
            self._client.command(
                f"INSERT INTO {quoted(target)} ({self._columns}) SELECT {self._columns} "
                f"FROM ({self._select_from(self._select, state.name)}) {self._settings(state, row_filter)}, "
                f"{NO_DEDUPLICATION}"
            )

    def duplicates(
        self, content: Mapping[str, PartitionFingerprint], *, source: str | TableState | None = None
    ) -> dict[str, int]:
        """Duplicates by partition: valid rows of L1 beyond those that L2 has by ``content``. Other layers have none."""
        found = {name: -fingerprint.rows for name, fingerprint in content.items()}
        if self.layer is not L2:
            return dict.fromkeys(found, 0)
        state = self._state(source or self.layer.source)
        for row_filter in row_filters(state, list(found), "device_id"):
            rows = self._client.query(
                f"SELECT _partition_id, count() FROM {quoted(state.name)} WHERE reject_reason = '' "
                f"GROUP BY _partition_id {self._settings(state, row_filter)}"
            ).result_rows
            for partition, count in rows:
                found[partition] += int(count)
        return found

    def _state(self, table: str | TableState) -> TableState:
        return table_state(self._client, table) if isinstance(table, str) else table

    def _rows_from(self, table: str) -> str:
        """The rows that the layer has in the end: those of the definition, combined as merges do it."""
        select, key = self._select_from(self._select, table), ", ".join(self.layer.key)
        if not key:
            return select
        return (
            f"SELECT {key}, sum(made.total_kWh) AS total_kWh, sum(made.readings) AS readings, "
            f"max(made.max_kWh) AS max_kWh FROM ({select}) AS made GROUP BY {key}"
        )

    def _select_from(self, select: str, table: str) -> str:
        source = self.layer.source
        return select if table == source else with_source(select, str(self._client.database), source, quoted(table))

    def _fingerprints(
        self, table: TableState, relation: str, partitions: Sequence[str], piece_key: str, *, kWh: str = ""
    ) -> dict[str, PartitionFingerprint]:
        found = dict.fromkeys(partitions, PartitionFingerprint())
        for row_filter in row_filters(table, partitions, piece_key):
            rows = self._client.query(
                f"SELECT toString({self._day}) AS partition, count(), {self.layer.readings_sql}, "
                f"{kWh or self.layer.kWh_sql}, sum(cityHash64(tuple({self._columns}))) FROM {relation} "
                f"GROUP BY partition {self._settings(table, row_filter)}"
            ).result_rows
            for partition, count, readings, energy, checksum in rows:
                found[partition] += PartitionFingerprint(int(count), int(readings), Decimal(str(energy)), int(checksum))
        return found

    def _count_keys(self, table: TableState, partitions: Sequence[str], keys: Sequence[str]) -> dict[str, int]:
        """The number of different keys in partitions of the layer's table, which is sorted by the keys."""
        found = dict.fromkeys(partitions, 0)
        names = ", ".join(map(quoted, keys))
        # Both forms read in the order of the keys, so they need little memory. One part per partition is read as it
        # is; several are merged, and then GROUP BY takes half the CPU of LIMIT BY.
        merged = all(table.parts.get(name, 0) <= 1 for name in partitions)
        one_row_per_key = f"LIMIT 1 BY {names}" if merged else f"GROUP BY {names}"
        for row_filter in row_filters(table, partitions, self.layer.table_piece_key):
            rows = self._client.query(
                f"SELECT toString({self._day}) AS partition, count() "
                f"FROM (SELECT {names} FROM {quoted(table.name)} {one_row_per_key}) GROUP BY partition "
                f"{self._settings(table, row_filter)}, optimize_aggregation_in_order = 1"
            ).result_rows
            for partition, count in rows:
                found[partition] += int(count)
        return found

    def _settings(self, table: TableState, row_filter: str) -> str:
        name = f"{self._client.database}.{table.name}"
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
