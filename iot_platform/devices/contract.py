"""What a source of device metadata must deliver, and how a CSV of it is read."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pandera
from pandera.errors import SchemaErrors

from iot_platform.devices.time_zones import known_zones, zones_at
from iot_platform.errors import SourceError

REQUIRED = ["device_id", "customer_id", "building_type", "latitude", "longitude"]
COLUMNS = [*REQUIRED, "valid_from", "time_zone"]
EPOCH = pd.Timestamp(0, tz="UTC")
LAST = pd.Timestamp(2**32 - 1, unit="s", tz="UTC")

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
    unique=["device_id", "valid_from"],
    report_duplicates="all",
)


@dataclass(frozen=True)
class Violation:
    """One breach of the contract: the row (line of a CSV) it stands in, the column, and what is wrong."""

    row: int
    column: str
    problem: str

    def __str__(self) -> str:
        return f"{self.column}: {self.problem}"


class ContractError(SourceError):
    """Metadata that breaks the contract; nothing of it was used."""

    def __init__(self, where: str, row_name: str, violations: Sequence[Violation]) -> None:
        self.violations = sorted(violations, key=lambda violation: (violation.row, violation.column))
        lines = [f"  {row_name} {violation.row}: {violation}" for violation in self.violations]
        super().__init__(
            f"{where}: {len(lines)} violations of the device contract; nothing was changed.\n" + "\n".join(lines)
        )


def read_devices(path: Path) -> pd.DataFrame:
    """Device metadata from a CSV file: see parse_devices. Raises SourceError when the file cannot be read, too."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}. The stored metadata stays as it is.") from error
    return parse_devices(content, str(path))


def parse_devices(content: bytes, where: str) -> pd.DataFrame:
    """Device metadata from a UTF-8 CSV with a header; the index holds line numbers, ``device_id`` is text.

    Columns device_id, customer_id, building_type, latitude, longitude, and optionally valid_from (ISO 8601; UTC when
    it names no zone) and time_zone (IANA name; none: that of the coordinates); others are ignored. ``where`` names the
    CSV. Raises ContractError with every violation and its line, SourceError when it is not text or lacks a column.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = bytes(error.object[: error.start]).count(b"\n") + 1
        raise SourceError(f"{where}, line {line}: not UTF-8 text. The stored metadata stays as it is.") from error
    rows, violations, header = _rows(text)
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise SourceError(
            f"{where}: no column {', '.join(map(repr, missing))}. Columns: {', '.join(map(repr, header)) or 'none'}. "
            "The stored metadata stays as it is."
        )
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=header, dtype=str)
    frame.index.name = "line"
    return validate_devices(frame, where=where, row_name="line", known=violations)


def validate_devices(
    frame: pd.DataFrame, *, where: str = "devices", row_name: str = "row", known: Sequence[Violation] = ()
) -> pd.DataFrame:
    """The frame with the contract's columns and types; its index names the rows in messages.

    Values may be text. A row without time zone gets that of its coordinates. Raises ContractError with every violation,
    those ``known`` already among them.
    """
    violations = list(known)
    typed = frame.copy()
    if "valid_from" not in typed:
        typed["valid_from"] = pd.Series(pd.NaT, index=typed.index)
    typed["time_zone"] = typed["time_zone"].fillna("") if "time_zone" in typed else ""
    for column in ("device_id", "customer_id", "building_type", "time_zone"):
        typed[column] = typed[column].astype(str).str.strip()
    for column in ("latitude", "longitude"):
        numbers = pd.to_numeric(typed[column], errors="coerce").astype(float)
        violations += _unreadable(typed[column], numbers.isna(), "is not a number")
        typed[column] = numbers.replace([np.inf, -np.inf], 1e9)
    typed["valid_from"] = _times(typed["valid_from"], violations)
    try:
        valid: pd.DataFrame = DEVICES.validate(typed, lazy=True)
    except SchemaErrors as errors:
        violations += _violations(errors.failure_cases, frame, violations)
        valid = typed
    if violations:
        raise ContractError(where, row_name, violations)
    unzoned = valid["time_zone"] == ""
    places = valid.loc[unzoned, ["latitude", "longitude"]]
    valid.loc[unzoned, "time_zone"] = zones_at(places["latitude"], places["longitude"])
    return valid[COLUMNS]


def _rows(text: str) -> tuple[dict[int, list[str]], list[Violation], list[str]]:
    """Rows by the line they begin in, rows of wrong length as violations, and the header."""
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip() for name in next(reader, [])]
    rows: dict[int, list[str]] = {}
    violations: list[Violation] = []
    line = reader.line_num + 1
    try:
        for row in reader:
            if len(row) == len(header):
                rows[line] = row
            elif row:
                problem = f"{len(row)} columns instead of {len(header)}"
                violations.append(Violation(line, "row", problem))
            line = reader.line_num + 1
    except csv.Error as error:
        violations.append(Violation(line, "row", str(error)))
    return rows, violations, header


def _times(values: pd.Series, violations: list[Violation]) -> pd.Series:
    missing = values.isna() | (values.astype(str).str.strip() == "")
    times = pd.to_datetime(values.mask(missing), utc=True, errors="coerce", format="ISO8601")
    violations += _unreadable(values, times.isna() & ~missing, "is not an ISO 8601 time")
    return times.astype(pd.DatetimeTZDtype("us", "UTC"))


def _unreadable(values: pd.Series, bad: pd.Series, problem: str) -> list[Violation]:
    name = str(values.name)
    return [Violation(int(str(row)), name, f"{value!r} {problem}") for row, value in values[bad].items()]


def _violations(cases: pd.DataFrame, frame: pd.DataFrame, known: Sequence[Violation]) -> list[Violation]:
    """Pandera's failure cases with the values as the source wrote them, without those already known."""
    seen = {(violation.row, violation.column) for violation in known}
    found: dict[tuple[int, str], Violation] = {}
    for check, index, name in zip(cases["check"], cases["index"], cases["column"], strict=True):
        unique = check == "multiple_fields_uniqueness"
        row, column = int(index), "device_id" if unique else str(name)
        value = frame.loc[row, column] if column in frame else ""
        problem = "stands more than once with the same valid_from" if unique else _problem(str(check))
        if (row, column) not in seen:
            found[row, column] = Violation(row, column, f"{value!r} {problem}")
    return list(found.values())


def _problem(check: str) -> str:
    known = {"str_matches": "is empty", "not_nullable": "is missing", "is ": check}
    if check.startswith("in_range"):
        return f"is not in {check.removeprefix('in_range')}"
    return next((text for start, text in known.items() if check.startswith(start)), f"fails {check}")
