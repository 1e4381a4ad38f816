"""Options that a format does not take are refused: each of them either has its effect, or is named."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.file_format import FORMATS
from iot_platform.readings.files.option_values import option_of
from iot_platform.readings.formats.format_options import refuse_options
from iot_platform_tests.readings.formats.rows_of import rows_of
from iot_platform_tests.readings.formats.test_nem12 import channel, day
from iot_platform_tests.readings.formats.test_nem12 import write as write_nem12
from iot_platform_tests.readings.formats.test_wide import CLOCK, USUAL, header, row, write

SET: dict[str, Any] = {
    "timestamp_column": "a",
    "date_column": "a",
    "time_column": "b",
    "device_column": "c",
    "device": "7",
    "device_from_name": "{}.csv",
    "value_column": "d",
    "unit": "Wh",
    "timezone": "Europe/London",
    "device_ids": "external",
    "override_unit": True,
    "stamp": "end",
    "interval_s": 1800,
    "timestamp_format": "iso",
    "decimal": "comma",
    "register": True,
    "encoding": "cp1252",
    "format": "csv",
    "sheet": "Data",
    "wide": "day",
    "accept_last_line": True,
}
ALWAYS = {"timezone", "device_ids", "format", "accept_last_line"}
REFUSED = {
    "csv": {"sheet"},
    "parquet": {"sheet", "encoding"},
    "ndjson": {"sheet", "encoding"},
    "xlsx": {"encoding"},
    "nem12": set(SET) - ALWAYS - {"unit", "override_unit"},
    "espi": set(SET) - ALWAYS - {"unit", "device"},
}


def test_every_option_is_known_here() -> None:
    assert [field.name for field in fields(FileOptions)] == list(SET)
    assert set(REFUSED) <= set(FORMATS)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("option", SET)
def test_what_a_format_takes(name: str, option: str) -> None:
    options = FileOptions(**{option: SET[option]})
    if option not in REFUSED[name]:
        refuse_options(name, "given", options)
        return
    with pytest.raises(SourceError, match=rf"format {name} \(given\) does not take {option_of(option)}: "):
        refuse_options(name, "given", options)


def test_nem12_is_no_register(tmp_path: Path) -> None:
    """With --register, its intervals would be differenced."""
    path = write_nem12(tmp_path, channel(), day([1] * 48))
    for options in ({"register": True}, {"encoding": "cp1252"}, {"interval_s": 900}, {"device_from_name": "{}.csv"}):
        with pytest.raises(SourceError, match="format nem12 .its first record, 100. does not take --"):
            rows_of(path, **options)
    assert len(rows_of(path, register=False, stamp="start").readings) == 48


def test_options_of_columns_that_wide_files_do_not_have(tmp_path: Path) -> None:
    days = write(tmp_path, header(CLOCK), row(USUAL, [1] * 48), name="days.csv")
    with pytest.raises(SourceError, match="one row per day does not take --date-column"):
        rows_of(days, date_column="date")
    with pytest.raises(SourceError, match="one row per day does not take --value-column"):
        rows_of(days, wide="day", value_column="00:30")
    meters = write(tmp_path, "time,A,B", "2024-01-01,1,2", name="meters.csv")
    with pytest.raises(SourceError, match="one column per meter does not take --device-column, --value-column"):
        rows_of(meters, wide="meters", value_column="B", device_column="A")
