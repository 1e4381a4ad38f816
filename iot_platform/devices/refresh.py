"""Bring the stored device metadata up to a source, all of it or nothing."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.blocks import insert_block
from iot_platform.clickhouse.client import quoted
from iot_platform.clickhouse.lock import server_lock
from iot_platform.devices.contract import ContractError, Violation, validate_devices
from iot_platform.devices.meter_ids import IdKind, MeterIds, guess_kind, numeric_ids
from iot_platform.devices.versions import Difference, difference

TABLE = "device_metadata"
# What the materialized views and the limits know of devices.
DICTIONARIES = ("device_current", "device_history", "device_limits")

_VERSION_COLUMNS: dict[str, pa.DataType] = {
    "device_id": pa.uint32(),
    "valid_from": pa.timestamp("s", "UTC"),
    "customer_id": pa.string(),
    "building_type": pa.string(),
    "latitude": pa.float64(),
    "longitude": pa.float64(),
}


@dataclass(frozen=True)
class RefreshResult:
    """Rows of the source that were new devices, changed versions, or already stored.

    ``affected``: device_id, valid_from, valid_to (NaT: open); the readings of these times may have other metadata now.
    """

    new: int
    changed: int
    unchanged: int
    device_ids: IdKind
    affected: pd.DataFrame


def refresh_devices(
    client: Client, frame: pd.DataFrame, now: dt.datetime, *, device_ids: IdKind | None = None
) -> RefreshResult:
    """Store what is new or changed in ``frame`` (the contract's columns; ids as numbers or text).

    A changed device without valid_from has its new version from the hour of ``now`` (timezone-aware) on. Ids are read
    as ``device_ids`` says, else by the rule of ``load readings``. All versions arrive in one block, then the
    dictionaries are reloaded, also when nothing changed: a refresh that was killed in between is mended by the next.
    Raises ContractError with every violation and SourceError for mixed ids; nothing is changed then.
    """
    devices = validate_devices(frame)
    texts = pa.array(devices["device_id"].tolist(), pa.string())
    kind = device_ids or guess_kind(devices["device_id"].tolist(), "devices, column 'device_id'")
    with server_lock(client, TABLE):
        devices["device_id"] = _numbers(client, devices, texts, kind)
        found = difference(_stored(client), devices, now)
        _store(client, found)
        reload_dictionaries(client)
    return RefreshResult(found.new, found.changed, found.unchanged, kind, found.affected)


def reload_dictionaries(client: Client, *names: str) -> None:
    """Let the views see what is stored now; without names all dictionaries about devices."""
    for name in names or DICTIONARIES:
        client.command(f"SYSTEM RELOAD DICTIONARY {quoted(str(client.database), name)}")


def _numbers(client: Client, devices: pd.DataFrame, texts: pa.StringArray, kind: IdKind) -> list[int]:
    if kind == "external":
        return [int(number or 0) for number in MeterIds(client).device_ids(texts).to_pylist()]
    numbers = numeric_ids(texts).to_pylist()
    rows = zip(devices.index, devices["device_id"], numbers, strict=True)
    bad = [
        Violation(int(row), "device_id", f"{text!r} is not a number from 1 to 999,999,999")
        for row, text, number in rows
        if not number
    ]
    if bad:
        raise ContractError("devices", str(devices.index.name or "row"), bad)
    return [int(number) for number in numbers if number]


def _stored(client: Client) -> pd.DataFrame:
    stored = client.query_df(
        "SELECT device_id, toUnixTimestamp(valid_from) AS valid_from, customer_id, "
        f"toString(building_type) AS building_type, latitude, longitude, is_removed FROM {TABLE} FINAL"
    )
    if stored.empty:
        columns = ["device_id", "valid_from", "customer_id", "building_type", "latitude", "longitude", "is_removed"]
        stored = pd.DataFrame({name: pd.Series(dtype="int64") for name in columns})
    stored["device_id"] = stored["device_id"].astype("int64")
    stored["valid_from"] = pd.to_datetime(stored["valid_from"], unit="s", utc=True).astype("datetime64[us, UTC]")
    return stored


def _store(client: Client, found: Difference) -> None:
    if found.versions.empty:
        return
    rows = found.versions.assign(valid_from=found.versions["valid_from"].astype("datetime64[s, UTC]"))
    insert_block(client, TABLE, pa.Table.from_pandas(rows, schema=pa.schema(_VERSION_COLUMNS), preserve_index=False))
