"""The device_id of each row of a metadata source: its own number, or the one that its external id was given."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.devices.contract import EPOCH
from iot_platform.devices.meter_ids import FIRST_GIVEN_ID, IdKind, MeterIds, numeric_ids
from iot_platform.devices.violations import ContractError, Violation, Violations, shown


def expected_numbers(client: Client, devices: pd.DataFrame, kind: IdKind, where: str) -> list[int]:
    """device_id of each row, without storing anything: an external id that is not known has the number it would get.

    Raises ContractError when a number is out of range, or a device stands more than once with the same valid_from.
    """
    texts = devices["device_id"].tolist()
    row_name = str(devices.index.name or "row")
    numbers: list[int | None]
    if kind == "external":
        known = _given(client)
        start = max(known.values(), default=FIRST_GIVEN_ID - 1) + 1
        unknown = dict.fromkeys(text for text in texts if text not in known)
        known |= {text: start + index for index, text in enumerate(unknown)}
        numbers = [known[text] for text in texts]
    else:
        numbers = numeric_ids(pa.array(texts, pa.string())).to_pylist()
    rows = list(zip(devices.index, texts, numbers, strict=True))
    problem = "is not a number from 1 to 999,999,999"
    bad = [Violation(int(row), "device_id", f"{shown(text)} {problem}") for row, text, number in rows if not number]
    # 7 and 007, or no valid_from and 1970-01-01, are the same.
    keys = pd.DataFrame({"number": numbers, "valid_from": devices["valid_from"].fillna(EPOCH).to_numpy()})
    twice = keys.duplicated(keep=False) & keys["number"].notna()
    problem = "stands more than once with the same valid_from"
    bad += [
        Violation(int(row), "device_id", f"{shown(text)} {problem}")
        for (row, text, _), is_twice in zip(rows, twice, strict=True)
        if is_twice
    ]
    if bad:
        raise ContractError(where, row_name, Violations(bad))
    return [int(number) for number in numbers if number]


def registered_numbers(client: Client, devices: pd.DataFrame) -> list[int]:
    """device_id of each row's external id; ids seen for the first time are given one for ever."""
    texts = pa.array(devices["device_id"].tolist(), pa.string())
    return [int(number or 0) for number in MeterIds(client).device_ids(texts).to_pylist()]


def meter_names(client: Client, numbers: pd.Series, listed: Mapping[int, str]) -> pd.Series:
    """What people call these devices: as the source lists them, else by their external id, else by their number."""
    names = dict(listed)
    if (numbers[~numbers.isin(listed)] >= FIRST_GIVEN_ID).any():
        names |= {number: name for name, number in _given(client).items()}
    return pd.Series([names.get(number, str(number)) for number in numbers], index=numbers.index, dtype=object)


def _given(client: Client) -> dict[str, int]:
    rows = client.query("SELECT external_id, device_id FROM meter_ids FINAL").result_rows
    return {str(name): int(number) for name, number in rows}
