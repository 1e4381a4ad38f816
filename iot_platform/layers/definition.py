"""A layer's definition: the SELECT of its materialized view, run for one partition instead of one inserted block."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.errors import MigrationError
from iot_platform.layers.model import Layer

# A proof of a large day is cut into slices of devices, so that its memory does not grow with the day.
ROWS_PER_SLICE = 10_000_000


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
    """The text of a layer's transformation as ClickHouse has it, and its columns."""

    def __init__(self, client: Client, layer: Layer) -> None:
        """Read the view's SELECT and the table's columns back. Raises MigrationError when they are not there."""
        self._client = client
        self.layer = layer
        rows = client.query(
            "SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = {view:String}",
            parameters={"view": layer.view},
        ).result_rows
        columns = client.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
            "AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') ORDER BY position",
            parameters={"table": layer.table},
        ).result_rows
        if not rows or not columns:
            raise MigrationError(
                f"View {layer.view} or table {layer.table} is missing in database {client.database!r}. "
                "Run `iot-platform migrate`."
            )
        self.select = str(rows[0][0])
        self.columns = [str(row[0]) for row in columns]

    def slices(self, partition: str) -> list[str]:
        """Row filters that cut the partition into pieces of bounded size; together they are the whole of it."""
        rows = partition_rows(self._client, self.layer.source, partition)
        count = rows // ROWS_PER_SLICE + 1
        in_partition = f"_partition_id = '{int(partition)}'"
        if count == 1:
            return [in_partition]
        return [f"{in_partition} AND intHash32(device_id) % {count} = {piece}" for piece in range(count)]

    def expected(self, partition: str) -> Fingerprint:
        """Fingerprint of what the definition makes of the source's partition now."""
        return self._sum(self.layer.source, f"({self.select})", partition)

    def actual(self, partition: str) -> Fingerprint:
        """Fingerprint of what the layer's table holds for the partition."""
        final = " FINAL" if self.layer.final else ""
        return self._sum(self.layer.table, f"{quoted(self.layer.table)}{final}", partition)

    def fill(self, target: str, partition: str) -> None:
        """Insert what the definition makes of the source's partition into the table ``target``."""
        names = ", ".join(map(quoted, self.columns))
        for row_filter in self.slices(partition):
            self._client.command(
                f"INSERT INTO {quoted(target)} ({names}) SELECT {names} FROM ({self.select})",
                settings=self._filtered(self.layer.source, row_filter),
            )

    def _sum(self, filtered_table: str, relation: str, partition: str) -> Fingerprint:
        names = ", ".join(map(quoted, self.columns))
        total = Fingerprint()
        for row_filter in self.slices(partition):
            row = self._client.query(
                f"SELECT count(), {self.layer.readings}, {self.layer.kWh}, sum(cityHash64(tuple({names}))) "
                f"FROM {relation}",
                settings=self._filtered(filtered_table, row_filter),
            ).first_row
            total += Fingerprint(int(row[0]), int(row[1]), Decimal(str(row[2])), int(row[3]))
        return total

    def _filtered(self, table: str, row_filter: str) -> dict[str, str]:
        name = f"{self._client.database}.{table}"
        return {"additional_table_filters": f"{{'{_escaped(name)}': '{_escaped(row_filter)}'}}"}


def partition_rows(client: Client, table: str, partition: str) -> int:
    """Rows of a partition, from ClickHouse's own records (no data is read)."""
    row = client.query(
        "SELECT sum(rows) FROM system.parts WHERE active AND database = currentDatabase() "
        "AND table = {table:String} AND partition_id = {partition:String}",
        parameters={"table": table, "partition": partition},
    ).first_row
    return int(row[0])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
