"""The device_id of each row of a metadata source, by the rule for the ids of meters."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.devices.contract import EPOCH, REPEATED
from iot_platform.devices.meter_ids import LAST_NUMERIC_ID, IdKind, MeterIds, names_of, refuse_scientific
from iot_platform.devices.violations import ContractError, Violation, Violations, shown

OUT_OF_RANGE = f"is not a number from 1 to {LAST_NUMERIC_ID:,}"


def expected_ids(meter_ids: MeterIds, devices: pd.DataFrame, kind: IdKind, where: str) -> list[int]:
    """device_id of each row, without storing anything: a new name has the number that it would get.

    Raises SourceError for an id in scientific notation, and ContractError if an id is a name although ``kind`` is
    "numeric", or if a device occurs more than once with the same valid_from.
    """
    row_name = str(devices.index.name or "row")
    texts = devices["device_id"].tolist()
    column = pa.array(texts, pa.string())
    refuse_scientific(column, lambda index: f"{where}, {row_name} {devices.index[index]}")
    found = meter_ids.plain_device_ids(column) if kind == "numeric" else meter_ids.expected(column)
    ids = found.to_pylist()
    # 7 and 7.0 are the same device; no valid_from and 1970-01-01 are the same time.
    keys = pd.DataFrame({"id": ids, "valid_from": devices["valid_from"].fillna(EPOCH).to_numpy()})
    is_repeated = keys.duplicated(keep=False) & keys["id"].notna()
    violations = Violations()
    for row, text, device_id, repeated in zip(devices.index, texts, ids, is_repeated, strict=True):
        if not device_id:
            violations.add([Violation(int(row), "device_id", f"{shown(text)} {OUT_OF_RANGE}")])
        if repeated:
            violations.add([Violation(int(row), "device_id", f"{shown(text)} {REPEATED}")])
    if violations.count:
        raise ContractError(where, row_name, violations)
    return [int(device_id) for device_id in ids if device_id]


def registered_ids(meter_ids: MeterIds, devices: pd.DataFrame) -> list[int]:
    """device_id of each row. New names get a number, which is stored."""
    texts = pa.array(devices["device_id"].tolist(), pa.string())
    return [int(device_id or 0) for device_id in meter_ids.device_ids(texts).to_pylist()]


def meter_names(client: Client, ids: pd.Series, listed: Mapping[int, str]) -> pd.Series:
    """The meter id of each device: as in the source (``listed``), else as in the database."""
    names = dict(listed)
    if others := set(ids[~ids.isin(listed)]):
        names |= names_of(client, others)
    return pd.Series([names[device_id] for device_id in ids], index=ids.index, dtype=object)
