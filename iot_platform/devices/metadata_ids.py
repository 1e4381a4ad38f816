"""The device_id of each row of a metadata source: the number in the row, or the number of its external id."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.devices.contract import EPOCH, REPEATED
from iot_platform.devices.meter_ids import FIRST_ASSIGNED_ID, LAST_NUMERIC_ID, IdKind, MeterIds, numeric_ids
from iot_platform.devices.violations import ContractError, Violation, Violations, shown

OUT_OF_RANGE = f"is not a number from 1 to {LAST_NUMERIC_ID:,}"


def expected_ids(client: Client, devices: pd.DataFrame, kind: IdKind, where: str) -> list[int]:
    """device_id of each row, without storing anything: a new external id has the number that it would get.

    Raises ContractError if a number is out of range, or a device occurs more than once with the same valid_from.
    """
    texts = devices["device_id"].tolist()
    ids: list[int | None]
    if kind == "external":
        known = MeterIds(client).expected(texts)
        ids = [known[text] for text in texts]
    else:
        ids = numeric_ids(pa.array(texts, pa.string())).to_pylist()
    # 7 and 007 are the same device; no valid_from and 1970-01-01 are the same time.
    keys = pd.DataFrame({"id": ids, "valid_from": devices["valid_from"].fillna(EPOCH).to_numpy()})
    is_repeated = keys.duplicated(keep=False) & keys["id"].notna()
    violations = Violations()
    for row, text, device_id, repeated in zip(devices.index, texts, ids, is_repeated, strict=True):
        if not device_id:
            violations.add([Violation(int(row), "device_id", f"{shown(text)} {OUT_OF_RANGE}")])
        if repeated:
            violations.add([Violation(int(row), "device_id", f"{shown(text)} {REPEATED}")])
    if violations.count:
        raise ContractError(where, str(devices.index.name or "row"), violations)
    return [int(device_id) for device_id in ids if device_id]


def registered_ids(client: Client, devices: pd.DataFrame) -> list[int]:
    """device_id of each row's external id. New external ids get a number, which is stored."""
    texts = pa.array(devices["device_id"].tolist(), pa.string())
    return [int(device_id or 0) for device_id in MeterIds(client).device_ids(texts).to_pylist()]


def meter_names(client: Client, ids: pd.Series, listed: Mapping[int, str]) -> pd.Series:
    """Names of devices for people: the id in the source (``listed``), else the external id, else the number."""
    names = dict(listed)
    if (ids[~ids.isin(listed)] >= FIRST_ASSIGNED_ID).any():
        names |= {device_id: name for name, device_id in MeterIds(client).stored().items()}
    return pd.Series([names.get(device_id, str(device_id)) for device_id in ids], index=ids.index, dtype=object)
