"""Bring the stored device metadata up to a source, all of it or nothing."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.blocks import insert_block
from iot_platform.clickhouse.lock import server_lock
from iot_platform.devices.affected import Touched
from iot_platform.devices.contract import validate_devices
from iot_platform.devices.energy import energy_by_customer
from iot_platform.devices.meter_ids import IdKind, guess_kind
from iot_platform.devices.numbering import expected_numbers, meter_names, registered_numbers
from iot_platform.devices.versions import ATTRIBUTES, KEY, Difference, devices_in_use, difference
from iot_platform.errors import SourceError
from iot_platform.layers.catalog import L4, Layer
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.invalidations import invalidation, repeat_unfinished_invalidations
from iot_platform.limits.limits_by_type import judged_otherwise
from iot_platform.settings import MAX_CLOSED_SHARE

TABLE = "device_metadata"
# Of fewer devices than this a share says nothing.
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


@dataclass(frozen=True)
class RefreshResult:
    """What a refresh has changed (or would change), and what has to be proved again because of it.

    new, changed, unchanged: rows of the source; closed: devices. ``changes``: see Difference, with a column ``meter``:
    the device's name in the source. ``affected``: partition_id, devices, readings of the days on which readings get
    other metadata; the (device, day) set behind it: affected.affected_device_days. ``touched``: partitions to prove
    again by layer. ``before``: energy per customer (energy.py) over ``days``, read before the change took effect.
    """

    new: int
    changed: int
    closed: int
    unchanged: int
    device_ids: IdKind
    changes: pd.DataFrame
    affected: pd.DataFrame
    touched: dict[Layer, set[str]]
    days: list[str]
    before: pa.Table

    @property
    def counts(self) -> dict[str, int]:
        """The four counts by name."""
        return {name: getattr(self, name) for name in ("new", "changed", "closed", "unchanged")}


def refresh_devices(
    client: Client,
    frame: pd.DataFrame,
    now: dt.datetime,
    *,
    device_ids: IdKind | None = None,
    complete: bool = False,
    dry_run: bool = False,
    max_closed_share: float = MAX_CLOSED_SHARE,
    where: str = "devices",
) -> RefreshResult:
    """Store what is new or changed in ``frame`` (the contract's columns; ids as numbers or text).

    A changed device without valid_from has its new version from the hour of ``now`` (timezone-aware) on. With
    ``complete``, devices that the frame does not list are closed from that hour on (versions.py has the rules).
    ``dry_run`` changes nothing. Ids are read as ``device_ids`` says, else by the rule of ``load readings``.

    All versions arrive in one block between two requests for proofs of the days they touch, then the dictionaries are
    reloaded, also when nothing changed: a refresh that was killed in between is mended by the next. Live inserts go on.
    Raises ContractError with every violation, and SourceError for mixed ids or a complete source that would close more
    than ``max_closed_share`` of the devices; ``where`` names the source then, and nothing is changed.
    """
    devices = validate_devices(frame, where=where, row_name=str(frame.index.name or "row"))
    texts = devices["device_id"].astype(str).tolist()
    kind = device_ids or guess_kind(texts, f"{where}, column 'device_id'")
    with server_lock(client, TABLE):
        stored = _stored(client)
        numbers = expected_numbers(client, devices, kind, where)
        if complete:
            _guard(stored, numbers, now, max_closed_share, where)
        if kind == "external" and not dry_run:
            numbers = registered_numbers(client, devices)
        devices["device_id"] = pd.Series(numbers, index=devices.index, dtype="int64")
        found = difference(stored, devices, now, complete=complete)
        touched = Touched(client, found.stretches, judged_otherwise(client, stored, found.versions))
        days = sorted(touched.layers[L4])
        before = energy_by_customer(client, days)
        if not dry_run:
            _apply(client, found, touched)
        meters = meter_names(client, found.changes["device_id"], dict(zip(numbers, texts, strict=True)))
    return RefreshResult(
        new=found.new,
        changed=found.changed,
        closed=found.closed,
        unchanged=found.unchanged,
        device_ids=kind,
        changes=found.changes.assign(meter=meters),
        affected=touched.affected,
        touched=touched.layers,
        days=days,
        before=before,
    )


def _guard(stored: pd.DataFrame, numbers: list[int], now: dt.datetime, max_closed_share: float, where: str) -> None:
    """Refuse half a file: it must not wipe out the metadata."""
    known = devices_in_use(stored, now)
    closing = len(known.difference(numbers))
    is_large = len(known) >= FEW_DEVICES or not numbers
    if is_large and closing > max_closed_share * len(known):
        raise SourceError(
            f"{where}: lists {len(set(numbers)):,} devices, and {closing:,} of the {len(known):,} known ones "
            f"({closing / len(known):.0%}) are not among them; more than {max_closed_share:.0%} are not closed at "
            "once. Nothing was changed. If it is cut off, get it whole. If these devices are really gone, set "
            "IOT_MAX_CLOSED_SHARE=1 for one refresh. If a file lists only what is new or changed, refresh without "
            "closing: IOT_DEVICES_CSV_COMPLETE=false in Dagster, no --complete on the command line."
        )


def _apply(client: Client, found: Difference, touched: Touched) -> None:
    if not found.changes.empty:
        counts = f"{found.new:,} new, {found.changed:,} changed, {found.closed:,} closed"
        with invalidation(client, touched.layers, f"Device metadata: {counts}") as changed_at:
            _store(client, found.versions, changed_at)
            reload_dictionaries(client)
            touched.look_again()
    else:
        reload_dictionaries(client)
    repeat_unfinished_invalidations(client)


def _stored(client: Client) -> pd.DataFrame:
    stored = client.query_df(
        "SELECT device_id, toUnixTimestamp(valid_from) AS valid_from, customer_id, "
        f"toString(building_type) AS building_type, latitude, longitude, toString(time_zone) AS time_zone, "
        f"is_removed FROM {TABLE} FINAL"
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
    insert_block(client, TABLE, pa.Table.from_pandas(rows, schema=pa.schema(_VERSION_COLUMNS), preserve_index=False))
