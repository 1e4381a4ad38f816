"""The versions of days in a table with a partition for each month. They are read from its data, once for each content.

Inserts and merges change the content of a month; then its days are read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.layers.catalog import Layer

# Over the parts of a partition in system.parts: equal if they have the same files.
CONTENT = "groupBitXor(sipHash64(name, hash_of_all_files))"


@dataclass(frozen=True)
class DayVersion:
    """The version of a day in a table with a partition for each month: its sums, and a checksum of readings by key.

    Block numbers cannot be used: every insert adds one to the month of its day. Merges change none of the three.
    A change by hand that keeps all three does not show, for example one of ``max_kWh`` alone: only a comparison of all
    days (``iot-platform prove --full``) finds it.
    """

    readings: int
    kWh: Decimal
    checksum: int

    def __str__(self) -> str:
        return f"{self.readings}/{self.kWh}/{self.checksum:x}"


@dataclass(frozen=True)
class Month:
    """A partition of such a table, e.g. ``202601``, and its CONTENT at one moment."""

    name: str
    content: int


# Version and number of rows by day.
Days: TypeAlias = Mapping[str, tuple[DayVersion, int]]
# By table and name of the month: its content when it was read, and its days.
_known: dict[tuple[str, str], tuple[int, Days]] = {}


def days_of_months(client: Client, layer: Layer, months: Sequence[Month]) -> Days:
    """The days of some months of a layer's table, with their versions and numbers of rows.

    What this process has read before is not read again, as long as the month has the same content.
    """
    found: dict[str, tuple[DayVersion, int]] = {}
    unknown = []
    for month in months:
        known = _known.get((layer.table, month.name))
        if known is not None and known[0] == month.content:
            found |= known[1]
        else:
            unknown.append(month)
    if unknown:
        read = _read(client, layer, [month.name for month in unknown])
        # What has arrived while it was read may be in it, or not.
        unchanged = _contents(client, layer.table)
        for month in unknown:
            days = {day: value for day, value in read.items() if day.startswith(month.name)}
            found |= days
            if month in unchanged:
                _known[layer.table, month.name] = month.content, days
    return found


def _read(client: Client, layer: Layer, months: Sequence[str]) -> Days:
    rows = client.query(
        "SELECT toString(toYYYYMMDD(rows.ts_hour)) AS day, count(), sum(rows.readings), sum(rows.total_kWh), "
        f"sum(rows.readings * (cityHash64({', '.join(layer.key)}) % 4294967296)) "
        f"FROM {quoted(layer.table)} AS rows WHERE _partition_id IN {{months:Array(String)}} GROUP BY day",
        parameters={"months": list(months)},
    ).result_rows
    return {
        str(day): (DayVersion(int(readings), Decimal(str(kWh)), int(checksum)), int(count))
        for day, count, readings, kWh, checksum in rows
    }


def _contents(client: Client, table: str) -> set[Month]:
    rows = client.query(
        f"SELECT partition_id, {CONTENT} FROM system.parts WHERE active AND rows > 0 "
        "AND database = currentDatabase() AND table = {table:String} GROUP BY partition_id",
        parameters={"table": table},
    ).result_rows
    return {Month(str(name), int(content)) for name, content in rows}
