"""The layers of the platform: their tables, the materialized views that define them, and their daily partitions."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

# The partition of readings with an impossible time; see sql/010_l1_power_raw.sql.
IMPOSSIBLE_TIMES = "0"


@dataclass(frozen=True)
class Layer:
    """A derived layer: the materialized view ``view`` fills ``table`` from the table ``source``.

    ``kWh_sql`` and ``readings_sql`` are SQL expressions over the layer's rows: their energy, and the number of readings
    behind them. ``needs_final``: merges combine rows of this table, so it is read with FINAL. ``lookup_tables``: other
    tables that the definition reads, through dictionaries. ``time_column``: the time of a row.
    ``is_monthly``: its table has a partition for each month, so a day is part of one.
    ``key``: the columns by which merges combine rows, if rows that the definition makes have to be combined as well.
    Such a table has these columns and total_kWh, readings and max_kWh, no others: proofs combine just these. Each table
    with months needs a key, and has the time column ts_hour.

    A large day is compared in pieces. ``source_piece_key`` is an expression over the source; it is the same for all
    rows of the source that make one row of the layer. ``table_piece_key`` is its counterpart over the layer's table.
    """

    name: str
    table: str
    view: str
    source: str
    kWh_sql: str
    readings_sql: str = "count()"
    needs_final: bool = False
    has_impossible_times: bool = False
    lookup_tables: tuple[str, ...] = ()
    time_column: str = "timestamp"
    is_monthly: bool = False
    key: tuple[str, ...] = ()
    source_piece_key: str = "device_id"
    table_piece_key: str = "device_id"


# Sums in exact decimals, as in L4: equal readings give equal sums in any order. Adding 5e-10 rounds to nine decimal
# places, because toDecimal64 truncates. Raw and rejected values may be infinite or too large for a decimal: values of
# 1e9 kWh or more are left out of the sum.
READINGS_KWH_SQL = (
    "sum(toDecimal64(if(isFinite(power_usage_kWh) AND abs(power_usage_kWh) < 1e9, "
    "power_usage_kWh + if(power_usage_kWh < 0, -5e-10, 5e-10), 0), 9))"
)

RAW_TABLE = "l1_power_raw"
# The rows of L4 as they are stored, with their metadata: a view that LookML reads.
HOURLY_ROWS = "l4_power_agg_hourly_store"
DEVICES = "device_metadata"
# A limit may apply to a building type, so a change of metadata can change which readings are valid.
LIMIT_TABLES = (DEVICES, "power_limits", "time_limits")
L2 = Layer(
    "l2_power_cleaned", "l2_power_cleaned", "mv_l1_to_l2", RAW_TABLE, READINGS_KWH_SQL, lookup_tables=LIMIT_TABLES
)
QUARANTINE = Layer(
    "power_quarantine",
    "power_quarantine",
    "mv_l1_to_quarantine",
    RAW_TABLE,
    READINGS_KWH_SQL,
    has_impossible_times=True,
    lookup_tables=LIMIT_TABLES,
)
L3 = Layer(
    "l3_power_joined",
    "l3_power_by_version",
    "mv_l2_to_l3",
    "l2_power_cleaned",
    READINGS_KWH_SQL,
    lookup_tables=(DEVICES,),
)
BY_DEVICE_HOURLY = Layer(
    "l4_power_agg_hourly",
    "l4_power_hourly_by_version",
    "mv_l3_to_l4_hourly",
    L3.table,
    "sum(total_kWh)",
    readings_sql="sum(readings)",
    needs_final=True,
    time_column="ts_hour",
)
BY_BUILDING_TYPE = Layer(
    "l4_power_by_building_type_hourly",
    "l4_power_hourly_by_type",
    "mv_l4_hourly_to_by_building_type",
    BY_DEVICE_HOURLY.table,
    "sum(total_kWh)",
    readings_sql="sum(readings)",
    needs_final=True,
    time_column="ts_hour",
    is_monthly=True,
    key=("ts_hour", "local_hour", "zone_id", "type_id", "has_metadata"),
    source_piece_key="ts_hour",
    table_piece_key="ts_hour",
)
BY_DEVICE_DAILY = Layer(
    "l4_power_by_device_daily",
    "l4_power_daily_by_version",
    "mv_l4_hourly_to_by_device",
    BY_DEVICE_HOURLY.table,
    "sum(total_kWh)",
    readings_sql="sum(readings)",
    needs_final=True,
    time_column="ts_hour",
    is_monthly=True,
    key=("ts_hour", "device_id", "version"),
)
# The tables for dashboards.
MARTS = (BY_DEVICE_HOURLY, BY_BUILDING_TYPE, BY_DEVICE_DAILY)

# In the order in which data flows: a layer comes after its source.
DERIVED_LAYERS: tuple[Layer, ...] = (L2, QUARANTINE, L3, *MARTS)
# An insert into one of these tables continues into the later ones.
CHAIN_TABLES = (RAW_TABLE, *(layer.table for layer in DERIVED_LAYERS))
MONTHLY_TABLES = {layer.table: layer for layer in DERIVED_LAYERS if layer.is_monthly}
# Merges combine the rows of these tables.
MERGED_TABLES = frozenset(layer.table for layer in DERIVED_LAYERS if layer.needs_final)
LAYERS_BY_NAME = {layer.name: layer for layer in DERIVED_LAYERS}
# Marts as LookML reads them -> the tables with their rows. These names are views.
MART_TABLES = {HOURLY_ROWS: BY_DEVICE_HOURLY.table, **{layer.name: layer.table for layer in MARTS}}


def blocking_layers(layer: Layer) -> tuple[str, ...]:
    """The layers whose failed checks block this one: the layer above; for a mart made from a mart, also that one's."""
    above = next((other for other in DERIVED_LAYERS if other.table == layer.source), None)
    if above is None:
        return (layer.source,)
    return (above.name, *(blocking_layers(above) if above in MARTS else ()))


def partition_id(day: dt.date) -> str:
    """The ClickHouse partition of a UTC day, e.g. ``20260103``."""
    return day.strftime("%Y%m%d")


def partition_month(partition: str) -> str:
    """The month of a day's partition, which is the partition of a table with months, e.g. ``202601``."""
    return partition[:6]


def partition_day(partition: str) -> dt.date | None:
    """The UTC day of a ClickHouse partition; None for the partition of impossible times."""
    return None if partition == IMPOSSIBLE_TIMES else dt.datetime.strptime(partition, "%Y%m%d").date()
