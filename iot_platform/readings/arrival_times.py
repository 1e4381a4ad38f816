"""Arrival times (the column ``ingested_at``).

They tell which of two readings of the same meter and time is newer, and which batch a row of L1 belongs to.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

INGESTED_AT = "ingested_at"


def with_arrival_times(readings: pa.Table, arrived_at: dt.datetime) -> pa.Table:
    """Add the column ``ingested_at`` with the value ``arrived_at`` (UTC).

    If a batch contains a (device_id, timestamp) several times, the second, third ... of them get one, two ...
    microseconds more: the last one in the batch is the newest.
    """
    base = round(arrived_at.timestamp() * 1e6)
    keys = pd.Series(_keys(readings))
    is_repeated = keys.duplicated(keep=False)
    arrivals = np.full(len(keys), base, dtype=np.int64)
    if is_repeated.any():
        arrivals[is_repeated] += keys[is_repeated].groupby(keys[is_repeated]).cumcount().to_numpy()
    return readings.append_column(INGESTED_AT, pa.array(arrivals).cast(pa.timestamp("us", "UTC")))


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


def _keys(readings: pa.Table) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """(device_id, timestamp) as one integer per row."""
    seconds = readings["timestamp"].cast(pa.int64()).to_numpy().astype(np.uint64)
    return (readings["device_id"].to_numpy().astype(np.uint64) << np.uint64(32)) | seconds


def _comparable(rows: pa.Table) -> pd.DataFrame:
    values = np.ascontiguousarray(rows["power_usage_kWh"].to_numpy(), dtype=np.float64)
    return pd.DataFrame(
        {
            "key": _keys(rows),
            "bits": values.view(np.uint64),
            "arrived": rows[INGESTED_AT].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(),
        }
    )
