"""Parse and validate the rows of a source of device metadata: all of them satisfy the contract, or none is used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import pandera.pandas as pandera
from pandera.errors import SchemaErrors

from iot_platform.devices.contract import CHECKS, COLUMNS, HAS_TEXT, IS_PRESENT, KEY, REPEATED, REQUIRED, contract
from iot_platform.devices.csv_rows import PIECE_ROWS, WINDOWS, csv_encoding, csv_pieces
from iot_platform.devices.time_zones import zones_at
from iot_platform.devices.violations import MOST_LISTED, ContractError, Violation, Violations, shown

NOT_A_NUMBER = "is not a number"
NOT_A_TIME = "is not an ISO 8601 time"
# Stands for an infinite number: pandera compares it with the range, and reports it.
_OUT_OF_RANGE = 1e9

SOURCE = contract(
    pandera.Column(str, [IS_PRESENT, HAS_TEXT], nullable=True),
    pandera.Column(pd.DatetimeTZDtype("us", "UTC"), CHECKS["valid_from"], nullable=True),
)


def parse_devices(content: bytes, where: str) -> tuple[pd.DataFrame, list[str]]:
    """Device metadata from a CSV with a header, and what people should know of how it was read, in sentences.

    The index has the line numbers, ``device_id`` is text.

    Columns device_id, customer_id, building_type, latitude, longitude, and optionally valid_from (ISO 8601; UTC if it
    names no zone) and time_zone (IANA name; if empty, that of the coordinates). Other columns are ignored. ``where``
    names the CSV in messages. Raises ContractError with the first violations and their lines, and SourceError if it is
    not text or lacks a column.
    """
    violations, encoding = Violations(), csv_encoding(content, where)
    pieces = csv_pieces(content, encoding, COLUMNS, REQUIRED, where, violations)
    devices = _validated(pieces, violations, where, "line")
    notes = ["It is not UTF-8; it was read as Windows-1252. Check letters such as ä and é in names."]
    return devices, notes if encoding == WINDOWS else []


def validate_devices(frame: pd.DataFrame, *, where: str = "devices", row_name: str = "row") -> pd.DataFrame:
    """Validate a frame; returns the contract's columns, with their types. Values may be text.

    A row without time zone gets that of its coordinates. The index of the frame names the rows in messages. Raises
    ContractError with the first violations.
    """
    starts = range(0, max(len(frame), 1), PIECE_ROWS)
    pieces = (frame.iloc[start : start + PIECE_ROWS] for start in starts)
    return _validated(pieces, Violations(), where, row_name)


def _validated(pieces: Iterable[pd.DataFrame], violations: Violations, where: str, row_name: str) -> pd.DataFrame:
    """The valid rows of all pieces. Each piece is validated alone: pandera's report is much larger than the rows."""
    parts: list[pd.DataFrame] = []
    for piece in pieces:
        checked = _checked(piece, violations)
        # After a violation only the keys are still needed, to report repeated ones.
        parts.append(checked.loc[checked["device_id"] != "", KEY] if violations.count else checked)
    keys = pd.concat([part[KEY] for part in parts])
    repeated = keys.duplicated(keep=False) & (keys["device_id"] != "")
    _report(keys, "device_id", repeated, REPEATED, violations)
    if violations.count:
        raise ContractError(where, row_name, violations)
    valid = pd.concat(parts)
    del parts, keys, repeated
    unzoned = valid["time_zone"] == ""
    places = valid.loc[unzoned, ["latitude", "longitude"]]
    valid.loc[unzoned, "time_zone"] = zones_at(places["latitude"], places["longitude"])
    return valid[COLUMNS]


def _checked(piece: pd.DataFrame, violations: Violations) -> pd.DataFrame:
    """The rows of a piece with the contract's types. It adds what is wrong with them to ``violations``."""
    typed = piece.copy()
    if "valid_from" not in typed:
        typed["valid_from"] = pd.Series(pd.NaT, index=typed.index)
    typed["time_zone"] = typed["time_zone"].fillna("") if "time_zone" in typed else ""
    for column in ("device_id", "customer_id", "building_type", "time_zone"):
        typed[column] = typed[column].astype(str).str.strip()
    unreadable: dict[str, pd.Series] = {}
    for column in ("latitude", "longitude"):
        # A comma in degrees can only be the decimal one.
        texts = typed[column].astype(str).str.replace(",", ".", n=1, regex=False)
        numbers = pd.to_numeric(texts, errors="coerce").astype(float)
        unreadable[column] = numbers.isna()
        _report(piece, column, unreadable[column], NOT_A_NUMBER, violations)
        typed[column] = numbers.replace([np.inf, -np.inf], _OUT_OF_RANGE)
    typed["valid_from"], unreadable["valid_from"] = _times(typed["valid_from"])
    _report(piece, "valid_from", unreadable["valid_from"], NOT_A_TIME, violations)
    try:
        return SOURCE.validate(typed, lazy=True)
    except SchemaErrors as errors:
        _report_cases(piece, errors.failure_cases, unreadable, violations)
        return typed[COLUMNS]


def _times(values: pd.Series) -> tuple[pd.Series, pd.Series]:
    """The values as times, and which of them are not times."""
    missing = values.isna() | (values.astype(str).str.strip() == "")
    times = pd.to_datetime(values.mask(missing), utc=True, errors="coerce", format="ISO8601")
    return times.astype(pd.DatetimeTZDtype("us", "UTC")), times.isna() & ~missing


def _report(frame: pd.DataFrame, column: str, wrong: pd.Series, problem: str, violations: Violations) -> None:
    """Add a violation for each of the wrong values, quoted as in the source."""
    rows = frame.index[wrong]
    if rows.empty:
        return
    first = frame.loc[rows[:MOST_LISTED], column].items()
    found = (Violation(int(str(row)), column, f"{shown(value)} {problem}") for row, value in first)
    violations.add(found, max(0, len(rows) - MOST_LISTED))


def _report_cases(
    piece: pd.DataFrame, cases: pd.DataFrame, unreadable: Mapping[str, pd.Series], violations: Violations
) -> None:
    """Add a violation for each value that pandera found wrong. Unreadable values were added before."""
    for column, of_column in cases.drop_duplicates(["index", "column"]).groupby("column", sort=False):
        known = unreadable.get(str(column), pd.Series(False, index=piece.index))
        rows = of_column["index"].astype("int64")
        new = of_column[~known.loc[rows].to_numpy()].sort_values("index")
        texts = piece[column] if column in piece else pd.Series("", index=piece.index)
        first = new.head(MOST_LISTED)
        violations.add(
            (
                Violation(int(row), str(column), f"{shown(texts.loc[row])} {problem}")
                for row, problem in zip(first["index"], first["check"], strict=True)
            ),
            len(new) - len(first),
        )
