"""What new metadata means for the stored history: which versions are new, changed, or already there."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pandas as pd

from iot_platform.devices.contract import EPOCH

ATTRIBUTES = ["customer_id", "building_type", "latitude", "longitude"]
KEY = ["device_id", "valid_from"]


@dataclass(frozen=True)
class Difference:
    """The versions to store, and what they change.

    versions: device_id, valid_from and the attributes. affected: device_id, valid_from, valid_to (NaT: open) of every
    stretch of time whose metadata may differ now. new, changed, unchanged: numbers of rows of the source.
    """

    versions: pd.DataFrame
    affected: pd.DataFrame
    new: int
    changed: int
    unchanged: int


def difference(stored: pd.DataFrame, incoming: pd.DataFrame, now: dt.datetime) -> Difference:
    """Compare metadata from a source with the stored versions.

    ``stored``: device_id, valid_from, attributes, is_removed; ``incoming``: the contract's columns with numeric
    device_id; times in UTC. A row with valid_from says what holds from then on. A device's only row, without
    valid_from, says what holds now: for an unknown device since ever, for a known one from the hour of ``now`` on, if
    it differs from what holds now. Of several rows of a device, the one without valid_from holds since ever.
    """
    hour = pd.Timestamp(now).tz_convert("UTC").floor("h").as_unit("us")
    rows = incoming.reset_index(drop=True)
    is_known = rows["device_id"].isin(stored["device_id"])
    is_state = rows["valid_from"].isna() & ~rows["device_id"].duplicated(keep=False) & is_known
    rows["valid_from"] = rows["valid_from"].mask(is_state, hour).fillna(EPOCH)

    same_time = _equal_to_stored(rows, _same_version(rows, stored))
    in_force = _equal_to_stored(rows, _version_in_force(rows, stored))
    unchanged = same_time.where(~is_state, in_force)
    versions = rows.loc[~unchanged, [*KEY, *ATTRIBUTES]]
    return Difference(
        versions=versions,
        affected=_stretches(stored, versions),
        new=int((~is_known & ~unchanged).sum()),
        changed=int((is_known & ~unchanged).sum()),
        unchanged=int(unchanged.sum()),
    )


def _same_version(rows: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    return rows[KEY].merge(stored, on=KEY, how="left")


def _version_in_force(rows: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """For each row the newest stored version that is not younger than it."""
    asked = rows[KEY].reset_index(names="row").sort_values("valid_from", kind="stable")
    by_time = stored.sort_values("valid_from", kind="stable")
    found = pd.merge_asof(asked, by_time, on="valid_from", by="device_id")
    return found.set_index("row").sort_index()


def _equal_to_stored(rows: pd.DataFrame, versions: pd.DataFrame) -> pd.Series:
    equal = versions["is_removed"].eq(0)
    for column in ATTRIBUTES:
        equal &= rows[column].eq(versions[column])
    return equal


def _stretches(stored: pd.DataFrame, versions: pd.DataFrame) -> pd.DataFrame:
    """From when until when each of the versions holds, given all others of its device."""
    starts = pd.concat([stored[KEY], versions[KEY]]).drop_duplicates().sort_values(KEY)
    starts["valid_to"] = starts.groupby("device_id")["valid_from"].shift(-1)
    return versions[KEY].merge(starts, on=KEY, how="left").sort_values(KEY).reset_index(drop=True)
