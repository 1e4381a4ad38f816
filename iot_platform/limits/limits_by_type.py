"""Limits per building type: other building types of a device change its limit, and so what L2 accepts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.limits.changed_limits import ChangedLimits, changed_by_types

# The building type of a removed device, as in the view device_versions.
REMOVED_TYPE = "unknown"

_KEY = ["device_id", "valid_from"]
_COLUMNS: dict[str, pa.DataType] = {
    "device_id": pa.uint32(),
    "valid_from": pa.timestamp("s", "UTC"),
    "building_type": pa.string(),
}
_SCHEMA = pa.schema(_COLUMNS)


@contextmanager
def changed_limits(client: Client, stored: pd.DataFrame, versions: pd.DataFrame) -> Iterator[ChangedLimits]:
    """What changes when ``versions`` of metadata are added to the ``stored`` ones.

    Both have the columns device_id, valid_from (UTC), building_type and is_removed.
    """
    before = stored[stored["device_id"].isin(versions["device_id"])]
    parts = [part[[*_KEY, "building_type", "is_removed"]] for part in (before, versions) if not part.empty]
    after = pd.concat(parts).drop_duplicates(_KEY, keep="last") if parts else before
    with changed_by_types(client, _types(before), _types(after)) as changed:
        yield changed


def _types(versions: pd.DataFrame) -> pa.Table:
    if versions.empty:
        return _SCHEMA.empty_table()
    types = versions["building_type"].astype(object).mask(versions["is_removed"].eq(1), REMOVED_TYPE)
    rows = versions.assign(building_type=types, valid_from=versions["valid_from"].astype("datetime64[s, UTC]"))
    return pa.Table.from_pandas(rows[_SCHEMA.names], schema=_SCHEMA, preserve_index=False)
