"""Refresh the stored device metadata: store what is new or changed in a source, all of it or nothing.

All versions are inserted in one block, and the days they affect are invalidated before and after it. Then the
dictionaries are reloaded, even if nothing changed, so that a refresh completes an earlier one that was killed. Readings
may arrive meanwhile.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.blocks import insert_block
from iot_platform.clickhouse.lock import server_lock
from iot_platform.devices.affected import AffectedDays
from iot_platform.devices.building_types import normalized as normalized_types
from iot_platform.devices.building_types import spelling_notes
from iot_platform.devices.contract import KEY
from iot_platform.devices.energy import energy_by_customer
from iot_platform.devices.metadata_ids import expected_ids, meter_names, registered_ids
from iot_platform.devices.meter_ids import FIRST_ASSIGNED_ID, IdKind, MeterIds, normalized
from iot_platform.devices.places import place_notes
from iot_platform.devices.source_rows import validate_devices
from iot_platform.devices.versions import ATTRIBUTES, Difference, devices_in_use, difference
from iot_platform.errors import SourceError
from iot_platform.layers.catalog import BY_DEVICE_HOURLY, DEVICES, Layer
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.invalidations import invalidation, repeat_unfinished_invalidations
from iot_platform.limits.limits_by_type import changed_limits
from iot_platform.settings import MAX_CLOSED_SHARE

# Below this number of devices the share of closed ones is not limited.
FEW_DEVICES = 5

_VERSION_COLUMNS: dict[str, pa.DataType] = {
    "device_id": pa.uint32(),
    "valid_from": pa.timestamp("s", "UTC"),
    "customer_id": pa.string(),
    "building_type": pa.string(),
    "latitude": pa.float64(),
    "longitude": pa.float64(),
    "time_zone": pa.string(),
    "is_removed": pa.uint8(),
    "recorded_at": pa.timestamp("us", "UTC"),
}


_DOUBTFUL = ["device_id", "building_type", "latitude", "longitude"]


@dataclass(frozen=True)
class RefreshResult:
    """What a refresh has changed (or would change), and which days are unverified because of it.

    new, changed, unchanged: rows of the source; closed: devices. device_ids: "external" if an id is a name, else
    "numeric". ``notes``: what people should know, in sentences. ``changes``: see Difference, with a further column
    ``meter``: the name of the device in the source. ``affected``: partition_id, devices and readings of the days on
    which readings get other metadata. ``touched``: the unverified partitions by layer. ``days``: those of L4 that were
    found before the change. ``energy_before``: the energy per customer (energy.py) on these days, before the change
    took effect.
    """

    new: int
    changed: int
    closed: int
    unchanged: int
    device_ids: IdKind
    notes: list[str]
    changes: pd.DataFrame
    affected: pd.DataFrame
    touched: dict[Layer, set[str]]
    days: list[str]
    energy_before: pa.Table

    @property
    def counts(self) -> dict[str, int]:
        """The four counts by name."""
        return {"new": self.new, "changed": self.changed, "closed": self.closed, "unchanged": self.unchanged}


def refresh_devices(
    client: Client,
    frame: pd.DataFrame,
    now: dt.datetime,
    *,
    device_ids: IdKind = "auto",
    complete: bool = False,
    dry_run: bool = False,
    max_closed_share: float = MAX_CLOSED_SHARE,
    building_types: Mapping[str, str] = MappingProxyType({}),
    where: str = "devices",
) -> RefreshResult:
    """Store what is new or changed in ``frame`` (the contract's columns; ids as numbers or text).

    ``now`` (timezone-aware) and ``complete``: see versions.py. ``dry_run`` changes nothing. ``device_ids``: "numeric"
    refuses names. ``building_types``: see building_types.py. ``where`` names the source.
    Raises ContractError with the first violations, and SourceError for ids in scientific notation or if more than
    ``max_closed_share`` of the devices would be closed; then nothing was changed.
    """
    devices = validate_devices(frame, where=where, row_name=str(frame.index.name or "row"))
    devices["building_type"] = normalized_types(devices["building_type"], building_types)
    texts = normalized(pa.array(devices["device_id"].tolist(), pa.string())).to_pylist()
    meter_ids = MeterIds(client)
    with server_lock(client, DEVICES):
        stored = _stored(client)
        ids = expected_ids(meter_ids, devices, device_ids, where)
        if complete:
            _refuse_mass_closing(stored, ids, now, max_closed_share, where)
        if not dry_run:
            ids = registered_ids(meter_ids, devices)
        devices["device_id"] = pd.Series(ids, index=devices.index, dtype="int64")
        found = difference(stored, devices, now, complete=complete)
        with changed_limits(client, stored, found.versions) as limits:
            affected = AffectedDays(client, found.periods, limits)
            days = sorted(affected.layers[BY_DEVICE_HOURLY])
            before = energy_by_customer(client, days)
            if not dry_run:
                _apply(client, found, affected)
        meters = meter_names(client, found.changes["device_id"], dict(zip(ids, texts, strict=True)))
    changes = found.changes.assign(meter=meters)
    return RefreshResult(
        **found.counts,
        device_ids="external" if any(device_id >= FIRST_ASSIGNED_ID for device_id in ids) else "numeric",
        notes=[*meter_ids.notes(), *_doubts(devices, stored, changes)],
        changes=changes,
        affected=affected.readings,
        touched=affected.layers,
        days=days,
        energy_before=before,
    )


def _doubts(devices: pd.DataFrame, stored: pd.DataFrame, changes: pd.DataFrame) -> list[str]:
    """What is probably wrong in a source, in sentences: spellings of building types, and places of changed devices."""
    new = changes[changes["is_removed"].eq(0)]
    newest = stored.sort_values("valid_from", kind="stable").drop_duplicates("device_id", keep="last")
    parts = [part[_DOUBTFUL] for part in (newest[newest["is_removed"].eq(0)], devices) if not part.empty]
    others = pd.concat(parts or [devices[_DOUBTFUL]]).drop_duplicates("device_id", keep="last")
    others = others[~others["device_id"].isin(changes["device_id"])]
    types = set(new["building_type"])
    return [*spelling_notes(types, types | set(others["building_type"])), *place_notes(new, others)]


def _refuse_mass_closing(
    stored: pd.DataFrame, listed: list[int], now: dt.datetime, max_closed_share: float, where: str
) -> None:
    """Refuse a source that lacks too many devices: a file that is cut off must not close most of them."""
    known = devices_in_use(stored, now)
    closing = len(known.difference(listed))
    is_large = len(known) >= FEW_DEVICES or not listed
    if is_large and closing > max_closed_share * len(known):
        raise SourceError(
            f"{where}: lists {len(set(listed)):,} devices, and {closing:,} of the {len(known):,} known ones "
            f"({closing / len(known):.0%}) are missing. A refresh closes at most {max_closed_share:.0%} of them. "
            "Nothing was changed. If the source is cut off, provide all of it. If these devices are really gone, set "
            "IOT_MAX_CLOSED_SHARE=1 for one refresh. If it lists only new and changed devices, refresh without "
            "closing: IOT_DEVICES_CSV_COMPLETE=false in Dagster, no --complete on the command line."
        )


def _apply(client: Client, found: Difference, affected: AffectedDays) -> None:
    if not found.changes.empty:
        counts = f"{found.new:,} new, {found.changed:,} changed, {found.closed:,} closed"
        with invalidation(client, affected.layers, f"Device metadata: {counts}") as changed_at:
            _store(client, found.versions, changed_at)
            reload_dictionaries(client)
            affected.add_late_arrivals()
    else:
        reload_dictionaries(client)
    repeat_unfinished_invalidations(client)


def _stored(client: Client) -> pd.DataFrame:
    stored = client.query_df(
        "SELECT device_id, toUnixTimestamp(valid_from) AS valid_from, customer_id, "
        f"toString(building_type) AS building_type, latitude, longitude, toString(time_zone) AS time_zone, "
        f"is_removed FROM {DEVICES} FINAL"
    )
    if stored.empty:
        columns = [*KEY, *ATTRIBUTES, "is_removed"]
        stored = pd.DataFrame({name: pd.Series(dtype="int64") for name in columns})
    stored["device_id"] = stored["device_id"].astype("int64")
    stored["valid_from"] = pd.to_datetime(stored["valid_from"], unit="s", utc=True).astype("datetime64[us, UTC]")
    return stored


def _store(client: Client, versions: pd.DataFrame, recorded_at: dt.datetime) -> None:
    rows = versions.assign(
        valid_from=versions["valid_from"].astype("datetime64[s, UTC]"),
        recorded_at=pd.Timestamp(recorded_at).as_unit("us"),
    )
    insert_block(client, DEVICES, pa.Table.from_pandas(rows, schema=pa.schema(_VERSION_COLUMNS), preserve_index=False))
