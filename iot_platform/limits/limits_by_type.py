"""Limits per building type: they follow a device's newest building type, so metadata changes what L2 takes."""

from __future__ import annotations

import pandas as pd
from clickhouse_connect.driver.client import Client

from iot_platform.devices.versions import KEY

# The building type of a removed device, as in sql/003_device_dictionaries.sql.
REMOVED_TYPE = "unknown"


def judged_otherwise(client: Client, stored: pd.DataFrame, versions: pd.DataFrame) -> pd.DataFrame:
    """Devices whose limit changes when ``versions`` are stored, with the range of readings that this concerns.

    Columns device_id, low_kWh, high_kWh: what is at least low and below high was valid before or is from now on.
    """
    columns = ["device_id", "low_kWh", "high_kWh"]
    limits = _limits(client, "building_type")
    own = [int(key) for key in _limits(client, "device")]
    versions = versions[~versions["device_id"].isin(own)]
    if not limits or versions.empty:
        return pd.DataFrame(columns=columns)
    stored = stored[stored["device_id"].isin(versions["device_id"])]
    default_kWh = _default(client)
    after = pd.concat([part[versions.columns] for part in (stored, versions) if not part.empty])
    limit_after = _newest_types(after).map(limits).fillna(default_kWh)
    limit_before = _newest_types(stored).map(limits).reindex(limit_after.index).fillna(default_kWh)
    found = pd.DataFrame({"before": limit_before, "after": limit_after}).astype(float)
    found = found[found["before"] != found["after"]]
    rows = found.assign(low_kWh=found.min(axis=1), high_kWh=found.max(axis=1)).reset_index(names="device_id")
    return rows[columns]


def _newest_types(versions: pd.DataFrame) -> pd.Series:
    """Building type by device_id of each device's newest version, also when that lies in the future."""
    newest = versions.drop_duplicates(KEY, keep="last").sort_values("valid_from", kind="stable")
    newest = newest.drop_duplicates("device_id", keep="last").set_index("device_id")
    return newest["building_type"].astype(object).mask(newest["is_removed"].eq(1), REMOVED_TYPE)


def _default(client: Client) -> float:
    """The default limit as it is stored: the dictionary may not have it yet when a change of it was killed."""
    if stored := _limits(client, "default"):
        return stored[""]
    # No device has this number: the dictionary answers with its built-in default.
    return float(client.query(f"SELECT dictGet('device_limits', 'max_kWh', toUInt64({2**32}))").result_rows[0][0])


def _limits(client: Client, scope: str) -> dict[str, float]:
    rows = client.query(
        "SELECT key, max_kWh FROM power_limits FINAL WHERE toString(scope) = {scope:String} AND NOT is_removed",
        parameters={"scope": scope},
    ).result_rows
    return {str(key): float(max_kWh) for key, max_kWh in rows}
