"""The layers of the platform: their tables, the views that define them, and where a day of each one lies."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

# The partition of readings whose time cannot be true; see sql/010_l1_power_raw.sql.
IMPOSSIBLE_TIMES = "0"


@dataclass(frozen=True)
class Layer:
    """A derived layer: ``table`` holds what the materialized view ``view`` makes of ``source``.

    ``inputs`` are tables that the definition looks up besides. ``kWh`` and ``readings`` are SQL expressions that sum
    the layer's energy and count its readings. ``time`` is the column of a row's time.

    A large day is compared in pieces: ``source_piece_key`` is an expression over the source that is the same for all
    rows that make one row of the layer; ``own_piece_key`` is one over the layer's table.
    """

    name: str
    table: str
    view: str
    source: str
    kWh: str
    readings: str = "count()"
    final: bool = False
    has_impossible_times: bool = False
    inputs: tuple[str, ...] = ()
    time: str = "timestamp"
    source_piece_key: str = "device_id"
    own_piece_key: str = "device_id"


# Sums in exact decimals, as in L4: equal readings give equal sums in any order. (5e-10 rounds.) Raw, refused and
# damaged values may be infinite or beyond any decimal: those of more than 1e9 kWh are left out of the sum.
_EXACT_KWH = (
    "sum(toDecimal64(if(isFinite(power_usage_kWh) AND abs(power_usage_kWh) < 1e9, "
    "power_usage_kWh + if(power_usage_kWh < 0, -5e-10, 5e-10), 0), 9))"
)

RAW_TABLE = "l1_power_raw"
# A limit may stand for a building type, so metadata decides too.
LIMIT_INPUTS = ("power_limits", "time_limits", "device_metadata")
L2 = Layer("l2_power_cleaned", "l2_power_cleaned", "mv_l1_to_l2", RAW_TABLE, _EXACT_KWH, inputs=LIMIT_INPUTS)
QUARANTINE = Layer(
    "power_quarantine",
    "power_quarantine",
    "mv_l1_to_quarantine",
    RAW_TABLE,
    _EXACT_KWH,
    has_impossible_times=True,
    inputs=LIMIT_INPUTS,
)
L3 = Layer(
    "l3_power_joined", "l3_power_joined", "mv_l2_to_l3", "l2_power_cleaned", _EXACT_KWH, inputs=("device_metadata",)
)
L4 = Layer(
    "l4_power_agg_hourly",
    "l4_power_agg_hourly_store",
    "mv_l3_to_l4_hourly",
    "l3_power_joined",
    "sum(total_kWh)",
    readings="sum(readings)",
    final=True,
    time="ts_hour",
)
BY_BUILDING_TYPE = Layer(
    "l4_power_by_building_type_hourly",
    "l4_power_by_building_type_hourly",
    "mv_l3_to_l4_by_building_type",
    "l3_power_joined",
    "sum(total_kWh)",
    readings="sum(readings)",
    final=True,
    time="ts_hour",
    source_piece_key="toStartOfHour(timestamp)",
    own_piece_key="ts_hour",
)
BY_DEVICE = Layer(
    "l4_power_by_device_daily",
    "l4_power_by_device_daily",
    "mv_l3_to_l4_by_device",
    "l3_power_joined",
    "sum(total_kWh)",
    readings="sum(readings)",
    final=True,
    time="ts_hour",
)
# What dashboards read; all of them are made of L3.
MARTS = (L4, BY_BUILDING_TYPE, BY_DEVICE)

# In the order of the chain: a layer's source stands before it.
DERIVED_LAYERS: tuple[Layer, ...] = (L2, QUARANTINE, L3, *MARTS)
# An insert into one of them moves on to those behind it.
CHAIN_TABLES = (RAW_TABLE, *(layer.table for layer in DERIVED_LAYERS))
LAYERS_BY_NAME = {layer.name: layer for layer in DERIVED_LAYERS}
RAW_KWH = _EXACT_KWH


def partition_id(day: dt.date) -> str:
    """The ClickHouse partition of a UTC day, e.g. ``20260103``."""
    return day.strftime("%Y%m%d")


def partition_day(partition: str) -> dt.date | None:
    """The UTC day of a ClickHouse partition; None for the partition of impossible times."""
    return None if partition == IMPOSSIBLE_TIMES else dt.datetime.strptime(partition, "%Y%m%d").date()
