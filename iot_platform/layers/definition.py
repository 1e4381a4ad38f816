"""A layer's definition: the SELECT of its materialized view, run for whole partitions instead of one inserted block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.errors import MigrationError
from iot_platform.layers.model import Layer

# One query of a proof reads about as many rows as this at most, so that its memory does not grow with the days it
# covers or with the size of a day: small days go together, a large day is cut into slices of devices.
ROWS_PER_QUERY = 10_000_000


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

    def expected(self, partitions: Sequence[str]) -> dict[str, Fingerprint]:
        """Fingerprints of what the definition makes of the source's partitions now."""
        return self._fingerprints(self.layer.source, f"({self._select})", partitions)

    def actual(self, partitions: Sequence[str]) -> dict[str, Fingerprint]:
        """Fingerprints of what the layer's table holds in the partitions."""
        final = " FINAL" if self.layer.final else ""
        return self._fingerprints(self.layer.table, f"{quoted(self.layer.table)}{final}", partitions)

    def fill(self, target: str, partitions: Sequence[str]) -> None:
        """Insert what the definition makes of the source's partitions into the table ``target``."""
        for row_filter in self._row_filters(self.layer.source, partitions):
            self._client.command(
                f"INSERT INTO {quoted(target)} ({self._columns}) SELECT {self._columns} FROM ({self._select}) "
                + self._only(self.layer.source, row_filter)
            )

    def _fingerprints(self, table: str, relation: str, partitions: Sequence[str]) -> dict[str, Fingerprint]:
        found = dict.fromkeys(partitions, Fingerprint())
        for row_filter in self._row_filters(table, partitions):
            rows = self._client.query(
                f"SELECT toString({self._partition_key}) AS partition, count(), {self.layer.readings}, "
                f"{self.layer.kWh}, sum(cityHash64(tuple({self._columns}))) FROM {relation} GROUP BY partition "
                + self._only(table, row_filter)
            ).result_rows
            for partition, count, readings, kWh, checksum in rows:
                found[partition] += Fingerprint(int(count), int(readings), Decimal(str(kWh)), int(checksum))
        return found

    def _row_filters(self, table: str, partitions: Sequence[str]) -> Iterator[str]:
        """Conditions on the rows of a table that together make up the partitions, in pieces of bounded size."""
        rows = partition_rows(self._client, table)
        for group in grouped(partitions, rows):
            names = ", ".join(f"'{int(partition)}'" for partition in group)
            slices = sum(rows.get(partition, 0) for partition in group) // ROWS_PER_QUERY + 1
            for piece in range(slices):
                devices = f" AND intHash32(device_id) % {slices} = {piece}" if slices > 1 else ""
                yield f"_partition_id IN ({names}){devices}"

    def _only(self, table: str, row_filter: str) -> str:
        name = f"{self._client.database}.{table}"
        return f"SETTINGS additional_table_filters = {{'{_escaped(name)}': '{_escaped(row_filter)}'}}"


def partition_rows(client: Client, table: str) -> dict[str, int]:
    """Rows of each partition of a table, from ClickHouse's own records (no data is read)."""
    rows = client.query(
        "SELECT partition_id, sum(rows) FROM system.parts WHERE active AND database = currentDatabase() "
        "AND table = {table:String} GROUP BY partition_id",
        parameters={"table": table},
    ).result_rows
    return {str(partition): int(count) for partition, count in rows}


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


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
