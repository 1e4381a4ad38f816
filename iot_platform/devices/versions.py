"""Compare a source of metadata with the stored history: which versions are new, changed, closed or unchanged.

The rules:

- A row with valid_from is valid from then on.
- A device's only row, without valid_from, describes the present. For an unknown device it has always been valid; for a
  known one it starts a version at the current hour, if it differs from the version of that hour.
- If a device has several rows, the one without valid_from has always been valid.
- A complete source lists every device that exists. A device that it does not list is closed from the current hour on,
  and its later versions are withdrawn. A closed device that it lists again is reopened from the current hour on.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd

from iot_platform.devices.contract import EPOCH, KEY

ATTRIBUTES = ["customer_id", "building_type", "latitude", "longitude", "time_zone"]
# Columns of Difference.changes with the attributes that were valid before; missing if there was no metadata.
OLD = [f"old_{column}" for column in ATTRIBUTES]
_VERSION = [*KEY, *ATTRIBUTES, "is_removed"]


@dataclass(frozen=True)
class Difference:
    """The versions to store, and what they change.

    changes: one row per version to store, with device_id, valid_from, the attributes, is_removed; valid_to (NaT: still
    valid); the attributes that were valid before (``OLD``); change: new, changed or closed. new, changed, unchanged:
    numbers of rows of the source; closed: number of devices.
    """

    changes: pd.DataFrame
    new: int
    changed: int
    closed: int
    unchanged: int

    @property
    def counts(self) -> dict[str, int]:
        """The four counts by name."""
        return {"new": self.new, "changed": self.changed, "closed": self.closed, "unchanged": self.unchanged}

    @property
    def versions(self) -> pd.DataFrame:
        """device_id, valid_from, the attributes and is_removed of the versions to store."""
        return self.changes[_VERSION]

    @property
    def periods(self) -> pd.DataFrame:
        """The periods in which readings get another version: device_id, valid_from, valid_to (NaT: no end).

        Also where its attributes are the same: L3 keeps its number.
        """
        return self.changes[[*KEY, "valid_to"]]


def difference(stored: pd.DataFrame, incoming: pd.DataFrame, now: dt.datetime, *, complete: bool = False) -> Difference:
    """Compare metadata from a source with the stored versions.

    ``stored``: device_id, valid_from, attributes, is_removed. ``incoming``: the contract's columns, with numeric
    device_id; times in UTC. ``complete``: the source lists every device that exists. See the rules above.
    """
    hour = hour_of(now)
    rows = incoming.reset_index(drop=True)
    is_known = rows["device_id"].isin(stored["device_id"])
    is_state = rows["valid_from"].isna() & ~rows["device_id"].duplicated(keep=False) & is_known
    rows["valid_from"] = rows["valid_from"].mask(is_state, hour).fillna(EPOCH)
    rows["is_removed"] = 0

    same_time = _equal_to_stored(rows, rows[KEY].merge(stored, on=KEY, how="left"))
    unchanged = same_time.where(~is_state, _equal_to_stored(rows, _in_force(rows, stored)))
    parts = [rows.loc[~unchanged, _VERSION]]
    closed = 0
    if complete:
        reopening = _reopening(stored, rows[~is_state], parts[0], hour)
        unchanged &= ~rows.index.isin(reopening.index)
        closing = _closing(stored, rows["device_id"], hour)
        closed = closing["device_id"].nunique()
        parts += [reopening, closing]
    # Empty frames are left out, because their types would change those of the result.
    versions = pd.concat([part for part in parts if not part.empty] or parts[:1], ignore_index=True)
    return Difference(
        changes=_changes(stored, versions),
        new=int((~is_known & ~unchanged).sum()),
        changed=int((is_known & ~unchanged).sum()),
        closed=closed,
        unchanged=int(unchanged.sum()),
    )


def hour_of(now: dt.datetime) -> pd.Timestamp:
    """The UTC hour of a (timezone-aware) time."""
    return pd.Timestamp(now).tz_convert("UTC").floor("h").as_unit("us")


def devices_in_use(stored: pd.DataFrame, now: dt.datetime) -> set[int]:
    """Devices that have metadata at the hour of ``now`` or later."""
    present, future = _present_and_future(stored, hour_of(now))
    return {*present["device_id"], *future["device_id"]}


def _present_and_future(stored: pd.DataFrame, hour: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The version of each device that is valid at the hour, and all later ones; without removals."""
    until = stored[stored["valid_from"] <= hour].sort_values("valid_from", kind="stable")
    present = until.drop_duplicates("device_id", keep="last")
    future = stored[stored["valid_from"] > hour]
    return present[present["is_removed"] == 0], future[future["is_removed"] == 0]


def _closing(stored: pd.DataFrame, listed: pd.Series, hour: pd.Timestamp) -> pd.DataFrame:
    """Versions that close the devices that are not listed. They repeat the attributes of the version before them."""
    present, future = _present_and_future(stored[~stored["device_id"].isin(listed)], hour)
    return pd.concat([present.assign(valid_from=hour), future]).assign(is_removed=1)[_VERSION]


def _reopening(stored: pd.DataFrame, dated: pd.DataFrame, versions: pd.DataFrame, hour: pd.Timestamp) -> pd.DataFrame:
    """Versions that reopen closed devices listed with a valid_from: their newest row, valid from the hour on."""
    removed = stored.loc[stored["is_removed"] == 1, "device_id"]
    listed = dated[(dated["valid_from"] <= hour) & dated["device_id"].isin(removed)]
    newest = listed.sort_values("valid_from", kind="stable").drop_duplicates("device_id", keep="last")
    if newest.empty:
        return newest[_VERSION]
    reopened = newest.assign(valid_from=hour)[_VERSION]
    parts = [part[part["device_id"].isin(removed)] for part in (stored[_VERSION], versions)]
    future_store = pd.concat([part for part in parts if not part.empty]).drop_duplicates(KEY, keep="last")
    is_closed = _in_force(reopened.reset_index(drop=True), future_store)["is_removed"].eq(1)
    return reopened[is_closed.to_numpy()]


def _in_force(rows: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """For each row (numbered from 0), the stored version that is valid at its valid_from."""
    asked = rows[KEY].reset_index(names="row").sort_values("valid_from", kind="stable")
    by_time = stored.sort_values("valid_from", kind="stable")
    found = pd.merge_asof(asked, by_time, on="valid_from", by="device_id")
    return found.set_index("row").sort_index()


def _equal_to_stored(rows: pd.DataFrame, versions: pd.DataFrame) -> pd.Series:
    equal = versions["is_removed"].eq(0)
    for column in ATTRIBUTES:
        equal &= rows[column].eq(versions[column])
    return equal


def _changes(stored: pd.DataFrame, versions: pd.DataFrame) -> pd.DataFrame:
    """See Difference. No other version starts within the time of a version, so one old version was valid throughout."""
    stored = stored[stored["device_id"].isin(versions["device_id"])]
    starts = pd.concat([part[KEY] for part in (stored, versions) if not part.empty] or [versions[KEY]])
    starts = starts.drop_duplicates().sort_values(KEY)
    starts["valid_to"] = starts.groupby("device_id")["valid_from"].shift(-1)
    found = versions.merge(starts, on=KEY, how="left")
    before = _in_force(versions, stored)
    had_metadata, has_metadata = before["is_removed"].eq(0), found["is_removed"].eq(0)
    found[OLD] = before[ATTRIBUTES].astype(object).where(had_metadata, None)
    is_known = found["device_id"].isin(stored["device_id"])
    found["change"] = np.where(~has_metadata, "closed", np.where(is_known, "changed", "new"))
    return found.sort_values(KEY).reset_index(drop=True)
