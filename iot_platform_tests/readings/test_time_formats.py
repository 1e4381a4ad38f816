"""Times and numbers that can be read in several ways, and signs of daylight saving time: the whole file decides."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from iot_platform.errors import SourceError
from iot_platform.readings.files.daylight_saving import HoursOfFile, differs_from_utc
from iot_platform.readings.files.decimals import NumberForms, decide_decimal
from iot_platform.readings.files.parsing import parse_energy, parse_timestamps
from iot_platform.readings.files.time_formats import decide_time_format
from iot_platform.readings.files.time_forms import TimeForms


def format_of(*texts: str, given: str | None = None) -> str:
    forms = TimeForms()
    for text in texts:  # piece by piece
        forms.add(pa.array([text]))
    return decide_time_format(forms, given)


@pytest.mark.parametrize(
    ("texts", "time_format"),
    [
        (["1801010030", "1501010100", "1301010130", "1101010200"], "YYMMDDhhmm"),
        (["202401010000", "202401010030"], "YYYYMMDDhhmm"),
        (["20240101000000"], "YYYYMMDDhhmmss"),
        (["1767225600", "1767227400"], ""),
        (["1767225600000"], ""),
        (["01.02.2024 00:00", "01.02.2024 00:15"], "day-first"),
        (["01/02/2024 00:00", "13/02/2024 00:00"], "day-first"),
        (["1/2/2024 0:00", "1/31/2024 0:00"], "month-first"),
        (["2024-01-01", "2024-01-02", "01/02/2024"], ""),  # one bad row decides nothing
        (["2024-01-01T00:00Z"], ""),
    ],
)
def test_the_file_decides(texts: list[str], time_format: str) -> None:
    assert format_of(*texts) == time_format


def test_the_user_decides() -> None:
    assert format_of("01/02/2024", given="month-first") == "month-first"
    assert format_of("1301010130", given="epoch") == ""
    with pytest.raises(
        SourceError, match="day or the month first. No date tells them apart.*--timestamp-format day-first"
    ):
        format_of("01/02/2024", "02/02/2024")
    with pytest.raises(SourceError, match="Some dates have the day first"):
        format_of("31/02/2024", "01/31/2024")
    with pytest.raises(SourceError, match="10 digits: seconds since 1970, or YYMMDDhhmm.*--timestamp-format epoch"):
        format_of("1301010130", "1301010130", "1399010130")


@pytest.mark.parametrize(
    ("text", "time_format", "expected"),
    [
        ("1301010130", "YYMMDDhhmm", "2013-01-01T01:30"),
        ("202401010030", "YYYYMMDDhhmm", "2024-01-01T00:30"),
        ("20240101003015", "YYYYMMDDhhmmss", "2024-01-01T00:30:15"),
        ("1.2.2024 9:05", "day-first", "2024-02-01T09:05"),
        ("01/02/2024 00:15:30", "month-first", "2024-01-02T00:15:30"),
        ("31-12-2024", "day-first", "2024-12-31"),
        ("01/02/2024, 10:00", "day-first", "2024-02-01T10:00"),
    ],
)
def test_times_of_a_format(text: str, time_format: str, expected: str) -> None:
    second = int(dt.datetime.fromisoformat(expected).replace(tzinfo=dt.UTC).timestamp())
    parsed = parse_timestamps(pa.array([text, "2024-01-01", "x"]), "UTC", time_format)
    assert parsed.values.to_pylist() == [second, 1704067200, None]


def test_numbers_that_are_dates() -> None:
    forms = TimeForms()
    forms.add(pa.array([901010030, 1001010030]))  # the first has lost its zero
    assert decide_time_format(forms, None) == "YYMMDDhhmm"
    parsed = parse_timestamps(pa.array([901010030]), "UTC", "YYMMDDhhmm")
    assert parsed.values.to_pylist() == [int(dt.datetime(2009, 1, 1, 0, 30, tzinfo=dt.UTC).timestamp())]


def decimal_of(*texts: str, given: str | None = None) -> str:
    forms = NumberForms()
    for text in texts:
        forms.add(pa.array([text]))
    return decide_decimal(forms, given)


def test_the_column_decides_the_decimal_separator() -> None:
    assert decimal_of("0,5", "1", "0,25", "1,125") == ","
    assert decimal_of("1.000,5", "2.000") == ","
    assert decimal_of("0.5", "0.25", "1,5") == "."  # one bad row decides nothing
    assert decimal_of("1,125", given="comma") == ","
    with pytest.raises(SourceError, match="1,125 may be 1125 or 1.125. Choose: --decimal comma"):
        decimal_of("1,125", "2,250")
    with pytest.raises(SourceError, match="Some values have a comma, others a point"):
        decimal_of("1,25", "2,25", "0.5")


def test_values_with_decimal_commas() -> None:
    parsed = parse_energy(pa.array(["0,5", "7", "1.234,5", "1.234", "1,2,3", "x"]), "kWh", ",")
    assert parsed.values.to_pylist() == [0.5, 7.0, 1234.5, 1234.0, None, None]


def hours_of(starts: list[dt.datetime], repeated: list[dt.datetime]) -> HoursOfFile:
    hours = HoursOfFile()
    for moments in (starts, repeated):
        seconds = np.array([int(moment.replace(tzinfo=dt.UTC).timestamp()) for moment in moments], dtype=np.int64)
        hours.add(seconds, seconds if moments is repeated else seconds[:0])
    return hours


def year(number: int, missing: set[dt.datetime]) -> list[dt.datetime]:
    start = dt.datetime(number, 1, 1)
    return [moment for n in range(8760) if (moment := start + dt.timedelta(hours=n)) not in missing]


def test_signs_of_local_time() -> None:
    spring, autumn = dt.datetime(2025, 3, 30, 1), dt.datetime(2025, 10, 26, 1)
    assert hours_of(year(2025, set()), []).sign_of_local_time() is None
    zone, what = hours_of(year(2025, {spring}), []).sign_of_local_time() or ("", "")
    assert (zone, what) == ("Europe/London", "no meter has a reading between 2025-03-30 01:00 and 2025-03-30 02:00")
    zone, what = hours_of(year(2025, {spring}), [autumn]).sign_of_local_time() or ("", "")
    assert zone == "Europe/London"
    # In New York, clocks change on another day.
    zone, _ = hours_of(year(2025, {dt.datetime(2025, 3, 9, 2)}), []).sign_of_local_time() or ("", "")
    assert zone == "America/New_York"
    # The hour of spring is there, so the repeated one is chance.
    assert hours_of(year(2025, set()), [autumn]).sign_of_local_time() is None
    # Repeated times all over the year are no sign.
    assert hours_of([autumn], [autumn, *year(2025, set())[::100]]).sign_of_local_time() is None


def test_clocks_that_differ_from_utc() -> None:
    january, july = (int(dt.datetime(2025, month, 1, tzinfo=dt.UTC).timestamp()) for month in (1, 7))
    assert not differs_from_utc("Europe/London", january, january)
    assert differs_from_utc("Europe/London", january, july)
    assert differs_from_utc("Europe/Berlin", january, january)
