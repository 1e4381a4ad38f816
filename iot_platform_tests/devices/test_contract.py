"""The contract of device metadata: each violation with its line; and the versions that a change makes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

from iot_platform.devices.source_rows import validate_devices
from iot_platform.devices.versions import Difference, difference
from iot_platform.devices.violations import ContractError
from iot_platform.errors import SourceError
from iot_platform_tests.devices.metadata import read_csv

HEADER = "device_id,customer_id,building_type,latitude,longitude,valid_from\n"
NOW = dt.datetime(2026, 5, 1, 10, 40, tzinfo=dt.UTC)


def read(tmp_path: Path, text: str) -> pd.DataFrame:
    path = tmp_path / "devices.csv"
    path.write_text(text, encoding="utf-8")
    return read_csv(path)


def test_a_good_file(tmp_path: Path) -> None:
    frame = read(tmp_path, HEADER + '1,c1,"office\nblock",52.2,-0.1,\n2,c2,lab,0,180,2026-01-01T02:00:00+01:00\n')
    assert list(frame.index) == [2, 4]
    assert frame["device_id"].tolist() == ["1", "2"]
    assert frame["valid_from"].isna().tolist() == [True, False]
    assert frame["valid_from"].iloc[1] == pd.Timestamp("2026-01-01 01:00", tz="UTC")


def test_every_violation_is_reported_with_its_line(tmp_path: Path) -> None:
    text = HEADER + (
        "1,c1,office,95,0,\n"
        ",c2,office,1,1,\n"
        "3,,  ,abc,inf,\n"
        "4,c4,office,1,-180.5,2026-01-01 10:30\n"
        "5,c5,office,1,1,yesterday\n"
        "6,c6,office,1,1\n"
        "7,c7,office,1,1,\n"
        "7,c8,office,,1,\n"
    )
    with pytest.raises(ContractError) as error:
        read(tmp_path, text)
    found = {(violation.row, violation.column) for violation in error.value.violations}
    assert found == {
        (2, "latitude"),
        (3, "device_id"),
        (4, "customer_id"),
        (4, "building_type"),
        (4, "latitude"),
        (4, "longitude"),
        (5, "longitude"),
        (5, "valid_from"),
        (6, "valid_from"),
        (7, "row"),
        (8, "device_id"),
        (9, "device_id"),
        (9, "latitude"),
    }
    message = str(error.value)
    assert "devices.csv: 13 violations" in message
    assert "line 2: latitude: '95' is not from -90 to 90" in message
    assert "nothing was changed" in message


def test_missing_column_and_broken_text(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no column 'longitude'"):
        read(tmp_path, "device_id,customer_id,building_type,latitude\n")
    path = tmp_path / "binary.csv"
    path.write_bytes(HEADER.encode() + b"1,M\xfc\0ller,office,1,1,\n")
    with pytest.raises(SourceError, match="line 2: not UTF-8"):
        read_csv(path)
    with pytest.raises(SourceError, match="cannot be read"):
        read_csv(tmp_path / "none.csv")


def devices(*rows: tuple[int, str, str | None]) -> pd.DataFrame:
    columns = [(str(id_), customer, "office", 1.0, 2.0, start) for id_, customer, start in rows]
    frame = validate_devices(pd.DataFrame(columns, columns=HEADER.strip().split(",")))
    return frame.assign(device_id=frame["device_id"].astype("int64"))


def apply(stored: pd.DataFrame, found: Difference) -> pd.DataFrame:
    both = pd.concat([stored, found.versions])
    return both.drop_duplicates(["device_id", "valid_from"], keep="last").reset_index(drop=True)


def history(stored: pd.DataFrame) -> list[tuple[int, str, str]]:
    rows = stored.sort_values(["device_id", "valid_from"])
    starts = rows["valid_from"].dt.strftime("%Y-%m-%d %H")
    return list(zip(rows["device_id"], rows["customer_id"], starts, strict=True))


def nothing() -> pd.DataFrame:
    return devices().assign(is_removed=pd.Series(dtype="int64"))


def counts(found: Difference) -> tuple[int, int, int]:
    return found.new, found.changed, found.unchanged


def test_a_first_version_has_always_been_valid_and_a_change_starts_this_hour() -> None:
    found = difference(nothing(), devices((1, "a", None), (2, "b", None)), NOW)
    assert counts(found) == (2, 0, 0)
    stored = apply(nothing(), found)
    found = difference(stored, devices((1, "a", None), (2, "B", None), (3, "c", None)), NOW)
    assert counts(found) == (1, 1, 1)
    stored = apply(stored, found)
    assert history(stored) == [
        (1, "a", "1970-01-01 00"),
        (2, "b", "1970-01-01 00"),
        (2, "B", "2026-05-01 10"),
        (3, "c", "1970-01-01 00"),
    ]
    assert counts(difference(stored, devices((2, "B", None)), NOW + dt.timedelta(days=9))) == (0, 0, 1)


def test_a_backdated_version_affects_the_time_until_the_next_one() -> None:
    first = devices((1, "a", None), (1, "c", "2026-03-01"))
    stored = apply(nothing(), difference(nothing(), first, NOW))
    assert counts(difference(stored, first, NOW)) == (0, 0, 2)
    found = difference(stored, devices((1, "b", "2026-02-01T05:00Z")), NOW)
    assert counts(found) == (0, 1, 0)
    [period] = found.periods.to_dict("records")
    assert period["valid_from"] == pd.Timestamp("2026-02-01 05:00", tz="UTC")
    assert period["valid_to"] == pd.Timestamp("2026-03-01", tz="UTC")


def test_a_removed_device_comes_back_as_a_change() -> None:
    stored = devices((1, "a", None)).assign(is_removed=0, valid_from=pd.Timestamp(0, tz="UTC").as_unit("us"))
    removed = stored.assign(is_removed=1, valid_from=pd.Timestamp("2026-04-01", tz="UTC").as_unit("us"))
    found = difference(pd.concat([stored, removed]), devices((1, "a", None)), NOW)
    assert counts(found) == (0, 1, 0)
    assert pd.isna(found.periods["valid_to"].iloc[0])
