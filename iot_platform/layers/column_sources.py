"""The source columns of each column of the layers, from L4 back to L1 and the metadata: their column lineage.

It is written by hand: the views get the metadata through dictionaries, which no SQL parser can trace to a table. A test
compares it with the columns of the tables and views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from iot_platform.layers.catalog import (
    BY_BUILDING_TYPE,
    BY_DEVICE_DAILY,
    BY_DEVICE_HOURLY,
    DEVICES,
    L2,
    L3,
    QUARANTINE,
    RAW_TABLE,
)

Sources = Mapping[str, Sequence[tuple[str, str]]]

_READING = ("timestamp", "device_id", "power_usage_kWh", "ingested_at")
_ATTRIBUTES = ("customer_id", "building_type", "latitude", "longitude", "time_zone")
# The metadata version is looked up by device and time.
_LOOKUP = [(L2.name, "device_id"), (L2.name, "timestamp"), (DEVICES, "device_id"), (DEVICES, "valid_from")]
_TOTALS = ("total_kWh", "readings", "max_kWh")
_HOUR = BY_DEVICE_HOURLY.name

COLUMN_SOURCES: Mapping[str, Sources] = {
    L2.name: {name: [(RAW_TABLE, name)] for name in _READING},
    QUARANTINE.name: {name: [(RAW_TABLE, name)] for name in (*_READING, "reject_reason")},
    L3.name: {
        **{name: [(L2.name, name)] for name in _READING},
        **{name: [(DEVICES, name), *_LOOKUP] for name in _ATTRIBUTES},
        "has_metadata": _LOOKUP,
        "version": _LOOKUP,
        "local_time": [(DEVICES, "time_zone"), *_LOOKUP],
        # A name of the meter, if it has one, is in meter_ids.
        "meter_id": [(L2.name, "device_id")],
    },
    BY_DEVICE_HOURLY.name: {
        "ts_hour": [(L3.name, "timestamp")],
        "local_hour": [(L3.name, "local_time")],
        **{name: [(L3.name, name)] for name in ("device_id", "meter_id", *_ATTRIBUTES, "has_metadata", "version")},
        **{name: [(L3.name, "power_usage_kWh")] for name in (*_TOTALS, "avg_kWh")},
    },
    BY_BUILDING_TYPE.name: {
        **{
            name: [(_HOUR, name)]
            for name in ("ts_hour", "local_hour", "time_zone", "building_type", "has_metadata", *_TOTALS)
        },
        "local_hour_part": [(_HOUR, name) for name in ("ts_hour", "local_hour", "time_zone")],
    },
    BY_DEVICE_DAILY.name: {
        name: [(_HOUR, name)]
        for name in (
            *("ts_hour", "device_id", "customer_id", "building_type", "latitude", "longitude", "has_metadata"),
            *("version", "meter_id", *_TOTALS),
        )
    },
}
