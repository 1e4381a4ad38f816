"""Times as people write them: a whole file decides on the format, and each text of it is read or unreadable."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_platform.errors import SourceError
from iot_platform.readings.files.decimals import NumberForms, decide_decimal
from iot_platform.readings.files.parsing import parse_energy, parse_timestamps
from iot_platform.readings.files.time_formats import check_time_format, decide_time_format
from iot_platform.readings.files.time_forms import TimeForms


def format_of(*texts: str, given: str | None = None) -> str:
    forms = TimeForms()
    for text in texts:  # piece by piece
        column = pa.array([text])
        forms.add(column)
        unread = parse_timestamps(column, "UTC").values.is_null()
        forms.add_unread(column.filter(unread))
    return decide_time_format(forms, given)


def read(time_format: str, *texts: str) -> list[str | None]:
    seconds = parse_timestamps(pa.array(texts), "UTC", time_format).values.to_pylist()
    times = [None if second is None else dt.datetime.fromtimestamp(second, dt.UTC) for second in seconds]
    return [None if time is None else f"{time:%Y-%m-%d %H:%M:%S}".removesuffix(":00") for time in times]


@pytest.mark.parametrize(
    ("texts", "time_format", "expected"),
    [
        (["01/31/2024 12:30 AM", "1/2/2024 1:00 PM"], "month-first 12-hour", ["2024-01-31 00:30", "2024-01-02 13:00"]),
        (["31/01/2024 12:00:05 p.m."], "day-first 12-hour", ["2024-01-31 12:00:05"]),
        (["2024-01-31 12:30 PM", "2024-01-31 11 am"], "12-hour", ["2024-01-31 12:30", "2024-01-31 11:00"]),
        (["01 Jan 2024 00:30", "1-Feb-2024 9:15"], "month-name", ["2024-01-01 00:30", "2024-02-01 09:15"]),
        (["Jan 1, 2024 1:30 PM", "May 9, 2024 12 AM"], "month-name 12-hour", ["2024-01-01 13:30", "2024-05-09 00:00"]),
        (["1. März 2024 07:00", "3. Dez. 2024 07:00"], "month-name", ["2024-03-01 07:00", "2024-12-03 07:00"]),
        (["Mon, 01 Jan 2024 00:30:15 GMT"], "month-name", ["2024-01-01 00:30:15"]),
        (["1 de enero de 2024 00:30"], "month-name", ["2024-01-01 00:30"]),
        (["2024-01-01 23:45", "2024-12-31T24:00:00"], "24:00", ["2024-01-01 23:45", "2025-01-01 00:00"]),
        (["28.02.2024 24:00", "29.02.2024 24:00"], "day-first 24:00", ["2024-02-29 00:00", "2024-03-01 00:00"]),
        (["2024/01/05 00:30", "2024/1/5 9:30"], "year-first", ["2024-01-05 00:30", "2024-01-05 09:30"]),
        (["2024-01-05 9:30", "2024-01-05 10:30"], "year-first", ["2024-01-05 09:30", "2024-01-05 10:30"]),
        (["20240105T003000Z", "20240105 00:30"], "year-first", ["2024-01-05 00:30", "2024-01-05 00:30"]),
        (["1704067200000000"], "epoch-us", ["2024-01-01 00:00"]),
        (["1704069000000000000"], "epoch-ns", ["2024-01-01 00:30"]),
    ],
)  # fmt: skip
def test_the_file_decides(texts: list[str], time_format: str, expected: list[str]) -> None:
    assert format_of(*texts) == time_format
    assert read(time_format, *texts) == expected


def test_times_that_no_file_decides() -> None:
    with pytest.raises(SourceError, match=r"numbers such as 45292.5.*--timestamp-format excel"):
        format_of("45292.5", "45292.520833333336")
    # One row with AM does not make the others morning hours, nor the other way around.
    assert format_of("2024-01-01 00:30", "2024-01-01 01:00", "2024-01-01 01:30 AM") == ""
    assert read("12-hour", "2024-01-01 01:30", "2024-01-01 13:30 PM", "2024-01-01") == [None, None, "2024-01-01 00:00"]
    assert read("24:00", "2024-01-01 24:01", "2024-02-30 24:00") == [None, None]
    assert read("month-name", "1 Foo 2024", "31 Apr 2024", "1 Jan 24") == [None, None, None]


def test_numbers_of_days_of_excel() -> None:
    texts = ["45292", "45292.5", "45292.020833333336", "45292,0208", "45292.021", "45292.25", "x", "-"]
    expected = [
        "2024-01-01 00:00",
        "2024-01-01 12:00",
        "2024-01-01 00:30",
        "2024-01-01 00:30",
        None,
        "2024-01-01 06:00",
    ]
    assert read("excel", *texts) == [*expected, None, None]
    assert parse_timestamps(pa.array(["45292.021", "x", "-"]), "UTC", "excel").reasons.tolist() == [
        "unreadable_time",
        "unreadable_time",
        "missing_time",
    ]
    floats = parse_timestamps(pa.array([45292.5, None]), "UTC", "excel")
    assert floats.values.to_pylist() == [1704110400, None]


def test_epoch_times_by_their_unit() -> None:
    assert read("epoch-s", "1704067200.5", "100") == ["2024-01-01 00:00", "1970-01-01 00:01:40"]
    assert read("epoch-ms", "1704067200000") == ["2024-01-01 00:00"]
    floats = parse_timestamps(pa.array([1.7040672e18, float("nan")]), "UTC", "epoch-ns")
    assert floats.values.to_pylist() == [1704067200, None]


@pytest.mark.parametrize(
    ("time_format", "text", "expected"),
    [
        ("%d.%m.%Y %H:%M", "1.2.2024 9:05", "2024-02-01 09:05"),
        ("%d.%m.%y %H:%M:%S", "01.02.24 09:05:07", "2024-02-01 09:05:07"),
        ("%d-%b-%y %I.%M.%S.%f %p", "01-FEB-24 12.05.00.000000 PM", "2024-02-01 12:05"),
        ("%Y%m%d%H%M", "202402010905", "2024-02-01 09:05"),
        ("%d%m%y", "010224", "2024-02-01 00:00"),
        ("%FT%T%z", "2024-02-01T09:05:00+0100", "2024-02-01 08:05"),
        ("%A, %B %d, %Y", "Thursday, February 1, 2024", "2024-02-01 00:00"),
        ("%d.%m.%Y %H:%M", "31.01.2024 24:00", "2024-02-01 00:00"),
        ("%m/%d/%Y", "13/01/2024", None),
        ("%d.%m.%Y", "2024-02-01", None),  # the given format, no other one
    ],
)
def test_a_format_in_strftime_notation(time_format: str, text: str, expected: str | None) -> None:
    assert check_time_format(time_format) == time_format
    assert format_of(text, given=time_format) == time_format
    assert read(time_format, text) == [expected]


@pytest.mark.parametrize(
    ("time_format", "message"),
    [
        ("dd.mm.yyyy", "neither one of iso,.* nor in strftime notation, such as '%d.%m.%Y %H:%M'"),
        ("%d.%m", "it needs the year once"),
        ("%Y-%m-%d %Y", "it has the year twice"),
        ("%Y-%m-%d %I:%M", "%I .* and %p .* belong together"),
        ("%Y-%m-%d %Q", "%Q is not known; known are %Y"),
        ("%Y-%m-%d %", "ends with a single %"),
    ],
)
def test_a_format_that_cannot_be_used(time_format: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_time_format(time_format)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2105, 1, 1)), min_size=1, max_size=5),
    st.sampled_from(["%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d %b %Y %H:%M:%S", "%Y%m%d%H%M%S", "%F %T"]),
)
def test_what_is_written_in_a_format_is_read_in_it(moments: list[dt.datetime], time_format: str) -> None:
    texts = [moment.strftime(time_format) for moment in moments]
    expected = [int(moment.replace(tzinfo=dt.UTC).timestamp()) for moment in moments]
    assert parse_timestamps(pa.array(texts), "UTC", time_format).values.to_pylist() == expected


def decimal_of(*texts: str, given: str | None = None) -> str:
    forms = NumberForms()
    for text in texts:
        column = pa.array([text])
        forms.add(column)
        forms.add_unread(column.filter(parse_energy(column, "kWh").values.is_null()))
    return decide_decimal(forms, given)


@pytest.mark.parametrize(
    ("texts", "decimal", "expected"),
    [
        (["1,234.5", "2,000", "0.5"], ".,", [1234.5, 2000.0, 0.5]),
        (["1 234,5", "0,5"], ", ", [1234.5, 0.5]),
        (["1\u202f234,5", "12\u00a0000"], ", ", [1234.5, 12000.0]),
        (["1'234.5", "0.5"], ".'", [1234.5, 0.5]),
        (["1.234,5", "0,5"], ",", [1234.5, 0.5]),
        (["0.5", "1,250"], ".,", [0.5, 1250.0]),
    ],
)
def test_separators_of_thousands(texts: list[str], decimal: str, expected: list[float]) -> None:
    assert decimal_of(*texts) == decimal
    assert parse_energy(pa.array(texts), "kWh", decimal).values.to_pylist() == expected


def test_separators_that_are_not_certain() -> None:
    with pytest.raises(SourceError, match="1,125 may be 1125 or 1.125"):
        decimal_of("1,125", "2,000")
    assert decimal_of("1,125", "2,000", given="point") == ".,"
    with pytest.raises(SourceError, match="Some values have a comma, others a point"):
        decimal_of("1,234.5", "1,5", "2,5")
    assert parse_energy(pa.array(["1 23", "12 34 567", "1,23"]), "kWh", ". ").values.to_pylist() == [None, None, None]
