"""Arrival times (the column ``ingested_at``), and the order in which a batch is sent.

Arrival times tell which of two readings of the same meter and time is newer, and which batch a row of L1 belongs to.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

INGESTED_AT = "ingested_at"

_Keys = np.ndarray[Any, np.dtype[np.uint64]]


def with_arrival_times(readings: pa.Table, arrived_at: dt.datetime) -> pa.Table:
    """Sort by (device_id, timestamp) and add the column ``ingested_at`` with the value ``arrived_at`` (UTC).

    If a batch contains a (device_id, timestamp) several times, the second, third ... of them get one, two ...
    microseconds more: the last one in the batch is the newest. The sort is stable, so which is the last does not
    depend on it.
    """
    rows, keys = _sorted(readings)
    arrivals = np.full(len(keys), _micros(arrived_at), dtype=np.int64)
    is_repeated = np.zeros(len(keys), dtype=bool)
    is_repeated[1:] = keys[1:] == keys[:-1]
    if is_repeated.any():
        numbers = np.arange(len(keys))
        # Equal keys are neighbours: a row's repetition is its distance from the first of them.
        arrivals += numbers - np.maximum.accumulate(np.where(is_repeated, 0, numbers))
    return rows.append_column(INGESTED_AT, pa.array(arrivals).cast(pa.timestamp("us", "UTC")))


def in_key_order(readings: pa.Table) -> pa.Table:
    """The rows sorted by (device_id, timestamp), L1's key, so that ClickHouse need not sort them."""
    return _sorted(readings)[0]


def missing_rows(batch: pa.Table, found: pa.Table) -> pa.Table:
    """The rows of a batch that are missing among the rows ``found`` in L1, each as often as it is missing.

    Both tables have the columns of a reading and ``ingested_at``. Values are compared bit by bit, so NaN equals NaN.
    """
    wanted, present = _comparable(batch), _comparable(found)
    columns = list(wanted.columns)
    wanted["nth"] = wanted.groupby(columns).cumcount()
    counts = present.groupby(columns).size().rename("copies").reset_index()
    copies = wanted.merge(counts, on=columns, how="left")["copies"].fillna(0)
    return batch.filter(pa.array(wanted["nth"].to_numpy() >= copies.to_numpy()))


def unknown_rows(batch: pa.Table, found: pa.Table) -> int:
    """The number of rows ``found`` in L1 that a batch does not have at all. Same columns as in ``missing_rows``."""
    wanted = _comparable(batch).drop_duplicates()
    merged = _comparable(found).merge(wanted, on=list(wanted.columns), how="left", indicator=True)
    return int((merged["_merge"] == "left_only").sum())


def _sorted(readings: pa.Table) -> tuple[pa.Table, _Keys]:
    """The rows in the order of their keys, and the keys."""
    keys = _keys(readings)
    if not (keys[1:] < keys[:-1]).any():
        return readings, keys
    # NumPy rather than Arrow: its stable sort merges the sorted runs that files and streams consist of.
    order = np.argsort(keys, kind="stable")
    return readings.take(order), keys[order]


def _micros(time: dt.datetime) -> int:
    return round(time.timestamp() * 1e6)


def _keys(readings: pa.Table) -> _Keys:
    """(device_id, timestamp) as one integer per row."""
    seconds = readings["timestamp"].cast(pa.int64()).to_numpy().astype(np.uint64)
    return (readings["device_id"].to_numpy().astype(np.uint64) << np.uint64(32)) | seconds


def _comparable(rows: pa.Table) -> pd.DataFrame:
    import pandas as pd  # takes half a second, and is needed only after a crash

    values = np.ascontiguousarray(rows["power_usage_kWh"].to_numpy(), dtype=np.float64)
    return pd.DataFrame(
        {
            "key": _keys(rows),
            "bits": values.view(np.uint64),
            "arrived": rows[INGESTED_AT].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(),
        }
    )
