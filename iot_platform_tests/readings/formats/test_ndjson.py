"""NDJSON: one object a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from iot_platform.devices.meter_ids import refuse_scientific
from iot_platform.errors import SourceError
from iot_platform.readings.files.open_file import open_row_source
from iot_platform_tests.readings.formats.rows_of import rows_of


def write(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "readings"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_objects_are_rows(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '{"time": "2024-01-01T00:00:00Z", "meter": {"id": "A-1"}, "kwh": 0.30000000000000004}',
        "",
        '{"kwh": 1, "time": 1704069000, "meter": {"id": 1200060000001}, "more": [1, 2]}',
        '{"time": "2024-01-01T01:00:00Z", "meter": {"id": "A-1"}}',
        '["no object"]',
        '{"time": "2024-01-01T01:30:00Z", "meter": {"id": "A-1"}, "kwh": true}',
        '{"time": "2024-01-01T02:00:00Z", "meter": {"id": "A-1"}, "kwh": 0.5',
    )
    found = rows_of(path, device_column="meter.id")
    assert found.readings == [(1704067200, "A-1", 0.30000000000000004), (1704069000, "1200060000001", 1.0)]
    assert found.places == [1, 3]
    assert sorted(found.rejects) == [
        (4, "missing_value"),
        (5, "no_json_object"),
        (6, "unreadable_value"),
        (7, "no_json_object"),
    ]


def test_ids_in_scientific_notation_are_seen(tmp_path: Path) -> None:
    [rows] = open_row_source(write(tmp_path, '{"ts": 1, "meter": 1.20006E+12, "kwh": 1}')).rows(["meter"])
    with pytest.raises(SourceError, match="scientific"):
        refuse_scientific(rows.columns["meter"], str)
