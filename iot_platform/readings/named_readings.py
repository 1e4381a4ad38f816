"""Readings whose meters are named by their own ids: the device_id of a name is looked up when they are delivered.

A stream is accepted while ClickHouse is unreachable, and ClickHouse assigns the numbers of names. So accepted readings
have a further column ``meter_id``: the name, or NULL if ``device_id`` is the meter's own number.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyarrow import compute

from iot_platform.devices.meter_ids import MeterIds, plain_numbers

pc: Any = compute

METER_ID = "meter_id"


def named_columns(ids: pa.StringArray) -> tuple[pa.Array[Any], pa.Array[Any]]:
    """The columns device_id (NULL for names) and meter_id (NULL for plain numbers) of meter ids.

    Ids such as 007 and 101.0 are names here: what they stand for depends on the database.
    """
    numbers = plain_numbers(ids, "kept")
    if not numbers.null_count:
        # A column of this type takes no space in the outbox.
        return numbers, pa.nulls(len(ids))
    return numbers, pc.if_else(numbers.is_null(), ids, pa.scalar(None, pa.string()))


def with_device_ids(readings: pa.Table, meter_ids: MeterIds) -> pa.Table:
    """The readings with the device_id of each meter, without the column meter_id. Others are returned as they are."""
    if METER_ID not in readings.column_names:
        return readings
    names = readings[METER_ID].cast(pa.string()).combine_chunks()
    numbers = meter_ids.renumbered(readings["device_id"].combine_chunks())
    if names.null_count < len(names):
        numbers = pc.coalesce(meter_ids.device_ids(names), numbers)
    index = readings.column_names.index("device_id")
    return readings.set_column(index, "device_id", numbers).drop_columns([METER_ID])
