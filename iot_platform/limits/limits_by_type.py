"""Limits per building type: a change of a device's building type changes its limit, and so what L2 accepts."""

from __future__ import annotations

import pandas as pd
from clickhouse_connect.driver.client import Client

from iot_platform.limits.power_limits import default_limit, limits

# The building type of a removed device, as in sql/003_device_dictionaries.sql.
REMOVED_TYPE = "unknown"

COLUMNS = ["device_id", "low_kWh", "high_kWh"]


def changed_limits(client: Client, stored: pd.DataFrame, versions: pd.DataFrame) -> pd.DataFrame:
    """The devices whose limit changes when ``versions`` of metadata are added to the ``stored`` ones.

    Both have the columns device_id, valid_from, building_type and is_removed. Returns device_id, low_kWh and high_kWh:
    readings of at least low and below high are valid under one of the limits, old or new, and refused under the other.
    """
    known = limits(client)
    by_type = {limit.key: limit.max_kWh for limit in known if limit.scope == "building_type"}
    devices_with_own_limit = [int(limit.key) for limit in known if limit.scope == "device"]
    versions = versions[~versions["device_id"].isin(devices_with_own_limit)]
    if not by_type or versions.empty:
        return pd.DataFrame(columns=COLUMNS)
    stored = stored[stored["device_id"].isin(versions["device_id"])]
    default_kWh = default_limit(client, known)
    all_versions = pd.concat([part[versions.columns] for part in (stored, versions) if not part.empty])
    after = _newest_types(all_versions).map(by_type).fillna(default_kWh)
    before = _newest_types(stored).map(by_type).reindex(after.index).fillna(default_kWh)
    found = pd.DataFrame({"before": before, "after": after}).astype(float)
    found = found[found["before"] != found["after"]]
    rows = found.assign(low_kWh=found.min(axis=1), high_kWh=found.max(axis=1)).reset_index(names="device_id")
    return rows[COLUMNS]


def _newest_types(versions: pd.DataFrame) -> pd.Series:
    """Building type of each device's newest version, by device_id. That version may start in the future."""
    newest = versions.drop_duplicates(["device_id", "valid_from"], keep="last").sort_values("valid_from", kind="stable")
    newest = newest.drop_duplicates("device_id", keep="last").set_index("device_id")
    return newest["building_type"].astype(object).mask(newest["is_removed"].eq(1), REMOVED_TYPE)
