"""What a source of device metadata must deliver, and how a CSV of it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pandera
from pandera.errors import SchemaErrors

from iot_platform.devices.csv_rows import PIECE_ROWS, csv_pieces
from iot_platform.devices.time_zones import known_zones, zones_at
from iot_platform.devices.violations import MOST_TOLD, ContractError, Violation, Violations, shown
from iot_platform.errors import SourceError

REQUIRED = ["device_id", "customer_id", "building_type", "latitude", "longitude"]
COLUMNS = [*REQUIRED, "valid_from", "time_zone"]
EPOCH = pd.Timestamp(0, tz="UTC")
LAST = pd.Timestamp(2**32 - 1, unit="s", tz="UTC")

_KEY = ["device_id", "valid_from"]

NO_TIME = "is not an ISO 8601 time"

_NAME = pandera.Check.str_matches(r"\S")

DEVICES = pandera.DataFrameSchema(
    {
        "device_id": pandera.Column(str, _NAME, description="The meter: a number, or its external id"),
        "customer_id": pandera.Column(str, _NAME, description="Who pays for it"),
        "building_type": pandera.Column(str, _NAME, description="Kind of building"),
        "latitude": pandera.Column(float, pandera.Check.in_range(-90, 90), description="Degrees north"),
        "longitude": pandera.Column(float, pandera.Check.in_range(-180, 180), description="Degrees east"),
        "valid_from": pandera.Column(
            pd.DatetimeTZDtype("us", "UTC"),
            [
                pandera.Check(lambda times: times == times.dt.floor("h"), error="is not a whole UTC hour"),
                pandera.Check.in_range(EPOCH, LAST),
            ],
            nullable=True,
            description="Whole UTC hour from which the row holds; none: see devices/versions.py",
        ),
        "time_zone": pandera.Column(
            str,
            pandera.Check(lambda names: names.isin({"", *known_zones()}), error="is no IANA time zone"),
            description="Zone of the site's clock, e.g. Europe/London; none: that of its coordinates",
        ),
    },
    strict="filter",
)


def read_devices(path: Path, max_bytes: int) -> pd.DataFrame:
    """Device metadata from a CSV file of at most ``max_bytes``: see parse_devices.

    Raises SourceError when the file cannot be read, too.
    """
    return parse_devices(read_file(path, max_bytes, str(path)), str(path))


def read_file(path: Path, max_bytes: int, where: str) -> bytes:
    """The bytes of a file. Raises SourceError when it cannot be read, is no plain file or is too large."""
    try:
        # A pipe or a device may never end.
        if path.exists() and not path.is_file():
            raise SourceError(f"{where}: cannot be read: it is no plain file. The stored metadata stays as it is.")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise SourceError(f"{where}: cannot be read: {error.strerror}. The stored metadata stays as it is.") from error
    if len(content) > max_bytes:
        raise SourceError(too_large(where, max_bytes))
    return content


def too_large(where: str, max_bytes: int) -> str:
    """The message for a source that delivers more than it may."""
    return (
        f"{where}: more than {max_bytes:,} bytes (IOT_DEVICES_MAX_BYTES). Is it the right one? "
        "The stored metadata stays as it is."
    )


def parse_devices(content: bytes, where: str) -> pd.DataFrame:
    """Device metadata from a UTF-8 CSV with a header; the index holds line numbers, ``device_id`` is text.

    Columns device_id, customer_id, building_type, latitude, longitude, and optionally valid_from (ISO 8601; UTC when
    it names no zone) and time_zone (IANA name; none: that of the coordinates); others are ignored. ``where`` names the
    CSV. Raises ContractError with the first violations and their lines, SourceError when it is not text or lacks a
    column.
    """
    violations = Violations()
    return _validated(csv_pieces(content, COLUMNS, REQUIRED, where, violations), violations, where, "line")


def validate_devices(frame: pd.DataFrame, *, where: str = "devices", row_name: str = "row") -> pd.DataFrame:
    """The frame with the contract's columns and types; its index names the rows in messages.

    Values may be text. A row without time zone gets that of its coordinates. Raises ContractError with the first
    violations.
    """
    starts = range(0, max(len(frame), 1), PIECE_ROWS)
    pieces = (frame.iloc[start : start + PIECE_ROWS] for start in starts)
    return _validated(pieces, Violations(), where, row_name)


def _validated(pieces: Iterable[pd.DataFrame], violations: Violations, where: str, row_name: str) -> pd.DataFrame:
    """The rows of all pieces. Checked piece by piece: a report of what is wrong is much larger than the rows."""
    parts: list[pd.DataFrame] = []
    for piece in pieces:
        checked = _checked(piece, violations)
        # Of what is refused anyway only that is kept which may be repeated.
        parts.append(checked.loc[checked["device_id"] != "", _KEY] if violations.count else checked)
    keys = pd.concat([part[_KEY] for part in parts])
    repeated = keys.duplicated(keep=False) & (keys["device_id"] != "")
    _tell(keys, "device_id", repeated, "stands more than once with the same valid_from", violations)
    if violations.count:
        raise ContractError(where, row_name, violations)
    valid = pd.concat(parts)
    del parts, keys, repeated
    unzoned = valid["time_zone"] == ""
    places = valid.loc[unzoned, ["latitude", "longitude"]]
    valid.loc[unzoned, "time_zone"] = zones_at(places["latitude"], places["longitude"])
    return valid[COLUMNS]


def _checked(piece: pd.DataFrame, violations: Violations) -> pd.DataFrame:
    """The rows of a piece with the contract's types; what is wrong with them goes to ``violations``."""
    typed = piece.copy()
    if "valid_from" not in typed:
        typed["valid_from"] = pd.Series(pd.NaT, index=typed.index)
    typed["time_zone"] = typed["time_zone"].fillna("") if "time_zone" in typed else ""
    for column in ("device_id", "customer_id", "building_type", "time_zone"):
        typed[column] = typed[column].astype(str).str.strip()
    unreadable: dict[str, pd.Series] = {}
    for column in ("latitude", "longitude"):
        numbers = pd.to_numeric(typed[column], errors="coerce").astype(float)
        unreadable[column] = numbers.isna()
        _tell(piece, column, unreadable[column], "is not a number", violations)
        typed[column] = numbers.replace([np.inf, -np.inf], 1e9)
    typed["valid_from"], unreadable["valid_from"] = _times(typed["valid_from"])
    _tell(piece, "valid_from", unreadable["valid_from"], NO_TIME, violations)
    try:
        return DEVICES.validate(typed, lazy=True)
    except SchemaErrors as errors:
        _tell_cases(piece, errors.failure_cases, unreadable, violations)
        return typed[COLUMNS]


def _times(values: pd.Series) -> tuple[pd.Series, pd.Series]:
    """The values as times, and which of them are none."""
    missing = values.isna() | (values.astype(str).str.strip() == "")
    times = pd.to_datetime(values.mask(missing), utc=True, errors="coerce", format="ISO8601")
    return times.astype(pd.DatetimeTZDtype("us", "UTC")), times.isna() & ~missing


def _tell(frame: pd.DataFrame, column: str, wrong: pd.Series, problem: str, violations: Violations) -> None:
    """A violation for each of the wrong values, named as the source has it."""
    rows = frame.index[wrong]
    if rows.empty:
        return
    first = frame.loc[rows[:MOST_TOLD], column].items()
    found = (Violation(int(str(row)), column, f"{shown(value)} {problem}") for row, value in first)
    violations.add(found, max(0, len(rows) - MOST_TOLD))


def _tell_cases(
    piece: pd.DataFrame, cases: pd.DataFrame, unreadable: Mapping[str, pd.Series], violations: Violations
) -> None:
    """A violation for each value that pandera found wrong and that is not told already: it could not be read."""
    for column, of_column in cases.drop_duplicates(["index", "column"]).groupby("column", sort=False):
        known = unreadable.get(str(column), pd.Series(False, index=piece.index))
        rows = of_column["index"].astype("int64")
        new = of_column[~known.loc[rows].to_numpy()].sort_values("index")
        texts = piece[column] if column in piece else pd.Series("", index=piece.index)
        first = new.head(MOST_TOLD)
        violations.add(
            (
                Violation(int(row), str(column), f"{shown(texts.loc[row])} {_problem(str(check))}")
                for row, check in zip(first["index"], first["check"], strict=True)
            ),
            len(new) - len(first),
        )


def _problem(check: str) -> str:
    known = {"str_matches": "is empty", "not_nullable": "is missing", "is ": check}
    if check.startswith("in_range"):
        return f"is not in {check.removeprefix('in_range')}"
    return next((text for start, text in known.items() if check.startswith(start)), f"fails {check}")
