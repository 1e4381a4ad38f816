"""The arrival time of a reading: which of two with one key is newer, and which batch a row of L1 came with."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

COLUMN = "ingested_at"


def with_arrival_times(readings: pa.Table, arrived_at: dt.datetime) -> pa.Table:
    """The readings with the column ``ingested_at``: ``arrived_at`` (UTC) for all of them.

    Where a batch has one (device_id, timestamp) several times, the second, third ... arrived one, two ... microseconds
    later: the last one is the newest, as in the order of the batch.
    """
    base = round(arrived_at.timestamp() * 1e6)
    keys = pd.Series(_keys(readings))
    is_repeated = keys.duplicated(keep=False)
    arrivals = np.full(len(keys), base, dtype=np.int64)
    if is_repeated.any():
        arrivals[is_repeated] += keys[is_repeated].groupby(keys[is_repeated]).cumcount().to_numpy()
    return readings.append_column(COLUMN, pa.array(arrivals).cast(pa.timestamp("us", "UTC")))


def missing_rows(batch: pa.Table, found: pa.Table) -> pa.Table:
    """The rows of a batch that are not among those ``found`` in L1, each as often as it is missing.

    Both have the columns of a reading and ``ingested_at``; values are compared bit by bit (NaN equals itself).
    """
    wanted, present = _comparable(batch), _comparable(found)
    columns = list(wanted.columns)
    wanted["nth"] = wanted.groupby(columns).cumcount()
    counts = present.groupby(columns).size().rename("copies").reset_index()
    copies = wanted.merge(counts, on=columns, how="left")["copies"].fillna(0)
    return batch.filter(pa.array(wanted["nth"].to_numpy() >= copies.to_numpy()))


def _keys(readings: pa.Table) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """One number for each (device_id, timestamp)."""
    seconds = readings["timestamp"].cast(pa.int64()).to_numpy().astype(np.uint64)
    return (readings["device_id"].to_numpy().astype(np.uint64) << np.uint64(32)) | seconds


def _comparable(rows: pa.Table) -> pd.DataFrame:
    values = np.ascontiguousarray(rows["power_usage_kWh"].to_numpy(), dtype=np.float64)
    return pd.DataFrame(
        {
            "key": _keys(rows),
            "bits": values.view(np.uint64),
            "arrived": rows[COLUMN].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(),
        }
    )
