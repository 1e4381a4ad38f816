"""Energy per customer on some days, before and after a change of metadata."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.layers.catalog import BY_DEVICE_HOURLY

_COLUMNS: dict[str, pa.DataType] = {
    "customer_id": pa.string(),
    "kWh": pa.decimal128(38, 9),
    "readings": pa.uint64(),
}


@dataclass(frozen=True)
class CustomerEnergy:
    """The energy of one customer in L4 on some days. An empty customer_id: readings without metadata."""

    customer_id: str
    kWh_before: Decimal
    kWh_after: Decimal


def energy_by_customer(client: Client, partitions: Collection[str]) -> pa.Table:
    """customer_id, kWh (exact decimals) and readings of L4 on some days; '' for readings without metadata.

    It is an Arrow table, because there may be as many customers as devices. FINAL is not needed: sums are the same
    before and after a merge.
    """
    if not partitions:
        return pa.schema(_COLUMNS).empty_table()
    days = ", ".join(f"'{int(partition)}'" for partition in sorted(partitions))
    found = client.query_arrow(
        "SELECT dictGet('device_version_attributes', 'customer_id', version) AS customer_id, sum(total_kWh) AS kWh, "
        f"sum(hours.readings) AS readings FROM {quoted(BY_DEVICE_HOURLY.table)} AS hours "
        f"WHERE _partition_id IN ({days}) GROUP BY customer_id",
        use_strings=True,
    )
    return found.cast(pa.schema(_COLUMNS))


@dataclass(frozen=True)
class EnergyChange:
    """Energy per customer on the same days, before and after. ``after`` includes readings that arrived in between."""

    before: pa.Table
    after: pa.Table

    def customers(self) -> list[CustomerEnergy]:
        """The customers whose energy changed, the largest change first."""
        both = self.before.join(self.after, "customer_id", join_type="full outer", right_suffix="_after")
        # A customer may be in only one of the tables.
        before, after = pc.field("kWh"), pc.field("kWh_after")
        changed: list[dict[str, Any]] = both.filter(before.is_null() | after.is_null() | (before != after)).to_pylist()
        zero = Decimal(0)
        found = [
            CustomerEnergy(row["customer_id"], row["kWh"] or zero, row["kWh_after"] or zero)
            for row in changed
            if (row["kWh"] or zero) != (row["kWh_after"] or zero)
        ]
        return sorted(found, key=lambda each: (-abs(each.kWh_after - each.kWh_before), each.customer_id))

    def total(self) -> tuple[Decimal, Decimal]:
        """Energy of all readings before and after: also of customers without a change, and without metadata."""
        return _sum(self.before, "kWh"), _sum(self.after, "kWh")

    def more_readings(self) -> int:
        """The number of readings that L4 has more: they arrived meanwhile, or another limit applies to them now."""
        return int(_sum(self.after, "readings") - _sum(self.before, "readings"))


def _sum(table: pa.Table, column: str) -> Decimal:
    return Decimal(pc.sum(table.column(column)).as_py() or 0)
