"""The table of many types that the clients read and write, and its rows as clickhouse-connect returns them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import NamedTuple

# Characters that wrong escaping changes.
HARD_TEXT = "Zürich ☀ 𝄞 'quoted' \"twice\" back\\slash\ttab\nline `tick` {a:b} %s $1"


class Row(NamedTuple):
    """One row of the table."""

    id: int
    small: int | None
    big: int
    ratio: float
    price: Decimal
    flag: bool
    name: str
    note: str | None
    kind: str
    day: dt.date
    at: dt.datetime
    fine: dt.datetime


TYPES = {
    "id": "UInt32",
    "small": "Nullable(Int8)",
    "big": "UInt64",
    "ratio": "Float64",
    "price": "Decimal(18, 4)",
    "flag": "Bool",
    "name": "String",
    "note": "Nullable(String)",
    "kind": "LowCardinality(String)",
    "day": "Date",
    "at": "DateTime('UTC')",
    "fine": "DateTime64(6, 'UTC')",
}

ROWS = [
    Row(
        1, -128, 2**63 - 1, 1e300, Decimal("-99999999999999.9999"), True, HARD_TEXT, HARD_TEXT, "school",
        dt.date(1970, 1, 1), dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC),
        dt.datetime(1925, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC),
    ),
    Row(
        2, None, 0, -0.1, Decimal("0.0001"), False, "", None, "",
        dt.date(2026, 2, 28), dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC),
        dt.datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=dt.UTC),
    ),
    Row(
        2**32 - 1, 127, 2**53 + 1, 5e-324, Decimal("1.5"), True, "NULL", "", "school",
        dt.date(2149, 6, 6), dt.datetime(2106, 2, 7, 6, 28, 15, tzinfo=dt.UTC),
        dt.datetime(2199, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
    ),
]  # fmt: skip


def create_table(name: str) -> str:
    """The statement that creates the table."""
    columns = ", ".join(f"{column} {kind}" for column, kind in TYPES.items())
    return f"CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY id"
