"""Device metadata as spreadsheets write it, and what is probably wrong in it: spellings and places."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.devices.describe import change_rows
from iot_platform.devices.refresh import RefreshResult, refresh_devices
from iot_platform.devices.sources.csv_file import DeviceCsvSource
from iot_platform_tests.devices.metadata import NOW, read_csv

HEADER = "device_id,customer_id,building_type,latitude,longitude\n"
PLAIN = HEADER + "1,M\u00fcller,office,51.5,-0.12\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.encode("cp1252"),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace(",", "|").encode(),
        ("sep=;\n" + PLAIN.replace(",", ";").replace("51.5;-0.12", "51,5;-0,12")).encode(),
        PLAIN.replace("device_id,customer_id", '"Device ID", CUSTOMER-ID ').replace("latitude", "Latitude").encode(),
        PLAIN.replace("51.5,-0.12", '"51,5","-0,12"').encode(),
    ],
)
def test_a_file_is_read_however_a_spreadsheet_wrote_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "devices.csv"
    path.write_bytes(content)
    [row] = read_csv(path).to_dict("records")
    found = row["device_id"], row["customer_id"], row["building_type"], row["latitude"], row["longitude"]
    assert found == ("1", "M\u00fcller", "office", 51.5, -0.12)


def test_a_file_that_is_not_utf_8_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "devices.csv"
    path.write_bytes(PLAIN.encode("cp1252"))
    source = DeviceCsvSource(str(path), complete=False, timeout_s=10, max_bytes=1 << 20)
    assert "read as Windows-1252" in source.read().notes[0]


def load(client: Client, *devices: tuple[int, str, float, float], **options: dict[str, str]) -> RefreshResult:
    rows = [(device, "c", kind, latitude, longitude) for device, kind, latitude, longitude in devices]
    return refresh_devices(client, pd.DataFrame(rows, columns=HEADER.strip().split(",")), NOW, **options)  # type: ignore[arg-type]


def test_building_types_that_differ_only_in_case_or_blanks(schema: Client) -> None:
    spellings = [(31, "Office", 51, 0), (32, "office", 51, 0), (33, "OFFICE", 51, 0), (34, "Office ", 51, 0)]
    [note] = load(schema, *spellings).notes
    assert "'OFFICE', 'Office', 'office'" in note and "--building-type-as 'office=office'" in note
    result = load(schema, *spellings, building_types={"Office": "office"})
    assert result.changes["building_type"].tolist() == ["office"] * 3 and result.notes == []
    # What is stored counts as well.
    assert "'Office', 'office'" in load(schema, (35, "Office", 51, 0)).notes[0]
    assert load(schema, (36, "flat", 51, 0)).notes == []


def test_places_that_are_probably_wrong(schema: Client) -> None:
    [note] = load(schema, (11, "a", -0.12, 51.5), (12, "a", -73.98, 40.75)).notes
    assert "seem to be swapped" in note and "(meters: 2)" in note and "11 at -0.12, 51.5" in note
    [note] = load(schema, (13, "a", 30.0, -40.0)).notes
    assert note == "Places in the sea or in Antarctica (meters: 1): 13 at 30.0, -40.0."
    near = [(device, "a", 51.5 + device / 1000, -0.12) for device in range(21, 30)]
    assert load(schema, *near, (11, "a", 51.5, -0.12), (12, "a", 51.6, -0.12), (13, "a", 51.6, -0.1)).notes == []
    [note] = load(schema, (14, "a", 40.75, -73.98)).notes
    assert note.startswith("Places far from all other meters") and "14 at 40.75, -73.98" in note


def test_coordinates_are_shown_in_full(schema: Client) -> None:
    result = load(schema, (1, "a", 51.50735123, -0.12775834))
    assert "51.50735123, -0.12775834" in change_rows(result.changes)[0][-1]
