"""Parse columns of times, energies and meter ids: values, and the reasons of refused ones."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_platform.errors import SourceError
from iot_platform.readings.files.columns import Columns, choose_columns
from iot_platform.readings.files.parsing import parse_energy, parse_ids, parse_timestamps, reasons_of

NOON = int(dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC).timestamp())


@pytest.mark.parametrize(
    "text",
    [
        "2026-07-01T12:00:00Z",
        "2026-07-01 12:00:00",
        " 2026-07-01 12:00 ",
        "2026-07-01T12",
        "2026-07-01T14:00:00+02:00",
        "2026-07-01T14:00:00.999999999+0200",
        "2026-07-01 12:00:00 UTC",
        "2026-07-01 12:00:00.5 Z",
        "2026-07-01 10:00:00 -02:00",
        str(NOON),
        str(NOON * 1000 + 1),
    ],
)
def test_forms_of_a_time(text: str) -> None:
    assert parse_timestamps(pa.array([text]), "UTC").values.to_pylist() == [NOON]
    # The same result next to rows that force the slow path.
    beside = parse_timestamps(pa.array(["rubbish", text, None, "1767225600"]), "UTC")
    assert beside.values.to_pylist() == [None, NOON, None, 1767225600]
    assert beside.reasons.tolist() == ["unreadable_time", "", "missing_time", ""]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-02-30 00:00", "unreadable_time"),
        ("01/07/2026 12:00", "unreadable_time"),
        ("20260701", "unreadable_time"),
        ("", "missing_time"),
        ("NULL", "missing_time"),
        ("2026-07-01 12:00.5", "unreadable_time"),
        ("1969-12-31 23:59:59", "time_out_of_range"),
        ("1969-12-31T23:59:59.5Z", "time_out_of_range"),
        ("2107-01-01 00:00:00", "time_out_of_range"),
        ("0001-01-01 00:00:00", "time_out_of_range"),
        ("9999-12-31T23:59:59.999999999Z", "time_out_of_range"),
    ],
)
def test_texts_that_are_not_times(text: str, reason: str) -> None:
    parsed = parse_timestamps(pa.array([text, "2026-07-01"]), "UTC")
    assert parsed.reasons.tolist() == [reason, ""]
    assert parsed.values.is_valid().to_pylist() == [False, True]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_years_outside_of_the_range_are_refused_in_any_zone(zone: str) -> None:
    texts = ["0001-01-01", "1969-12-30 23:59:59", "2106-02-08", "9999-12-31 23:59:59", "2026-07-01"]
    assert parse_timestamps(pa.array(texts), zone).reasons.tolist() == ["time_out_of_range"] * 4 + [""]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_moment_before_1970_is_out_of_range(unit: str) -> None:
    column = pa.array([-1, 0, None], pa.int64()).cast(pa.timestamp(unit))
    assert parse_timestamps(column, "UTC").reasons.tolist() == ["time_out_of_range", "", "missing_time"]


def test_local_times_and_the_hours_of_daylight_saving() -> None:
    texts = ["2026-01-01 12:00", "2026-07-01 13:00", "2026-03-29 01:30", "2026-10-25 01:30", "2026-10-25T01:30+01:00"]
    parsed = parse_timestamps(pa.array(texts), "Europe/London")
    assert parsed.reasons.tolist() == ["", "", "time_skipped_by_daylight_saving", "time_twice_by_daylight_saving", ""]
    assert parsed.values[1].as_py() == NOON


@pytest.mark.parametrize(
    "column",
    [
        pa.array([NOON]),
        pa.array([NOON * 1000]),
        pa.array([dt.datetime(2026, 7, 1, 12)], pa.timestamp("us")),
        pa.array([NOON], pa.timestamp("s", "Asia/Kolkata")),
        pa.array([NOON * 10**9], pa.timestamp("ns", "UTC")),
        pa.array(["2026-07-01T12:00Z"]).dictionary_encode(),
        pa.array([b"2026-07-01T12:00Z"]),
        pa.array(["2026-07-01T12:00Z"], pa.large_string()),
    ],
    ids=lambda column: str(column.type),
)
def test_typed_columns_of_time(column: pa.Array[Any]) -> None:
    assert parse_timestamps(column, "UTC").values.to_pylist() == [NOON]


def test_energy_in_its_unit() -> None:
    column = pa.array(["1500", "0.1", "nan", "-3", "inf", "+2", "1e3"])
    kWh = parse_energy(column, "Wh").values.to_pylist()
    assert kWh[:2] == [1.5, 0.0001]
    assert math.isnan(kWh[2])
    assert kWh[3:] == [-0.003, math.inf, 0.002, 1.0]
    assert parse_energy(pa.array([1.5]), "MWh").values.to_pylist() == [1500.0]


def test_texts_that_are_not_energies() -> None:
    parsed = parse_energy(pa.array([b"1,5", b"", b"\xff", b"0x10", b"1_0", b" 7 ", None, b"n/a"]), "kWh")
    assert parsed.values.to_pylist() == [None] * 5 + [7.0, None, None]
    missing, unreadable = "missing_value", "unreadable_value"
    expected = [unreadable, missing, "broken_encoding", unreadable, unreadable, "", missing, missing]
    assert parsed.reasons.tolist() == expected


def test_ids_are_text() -> None:
    column = pa.array(["1", "007", " 5 ", "b1", "", None, "NaN"])
    assert parse_ids(column).values.to_pylist() == ["1", "007", "5", "b1", None, None, None]
    assert parse_ids(pa.array([3.0, math.nan, 2.5])).values.to_pylist() == ["3", None, None]


@pytest.mark.parametrize("kind", [pa.decimal128(18, 0), pa.decimal256(40, 0), pa.decimal128(18, 2)])
def test_whole_decimals_are_ids(kind: pa.DataType) -> None:
    column = pa.array([Decimal(516), None, Decimal(-7)], kind)
    assert parse_ids(column).values.to_pylist() == ["516", None, "-7"]
    parsed = parse_ids(pa.array([Decimal("1.50")], pa.decimal128(18, 2)))
    assert (parsed.values.to_pylist(), parsed.reasons.tolist()) == ([None], ["unreadable_device_id"])


def test_columns_that_cannot_be_ids_are_rejected() -> None:
    parsed = parse_ids(pa.array([True, False]))
    assert parsed.values.to_pylist() == [None, None] and parsed.values.type == pa.string()


number = st.one_of(
    st.floats(width=64).map(repr),
    st.integers().map(str),
    st.text(alphabet="0123456789.+-eEnaif xX_()", max_size=8),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(number, min_size=1, max_size=8))
def test_a_value_does_not_depend_on_other_rows(texts: list[str]) -> None:
    together = parse_energy(pa.array(texts), "kWh")
    for text, value, reason in zip(texts, together.values.to_pylist(), together.reasons, strict=True):
        alone = parse_energy(pa.array([text]), "kWh")
        assert repr(alone.values[0].as_py()) == repr(value)
        assert alone.reasons[0] == reason


moment = st.one_of(
    st.datetimes().map(str),
    st.datetimes(timezones=st.timezones()).map(str),
    st.integers(0, 10**14).map(str),
    st.text(alphabet="0123456789-:TZ+. ", max_size=26),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(moment, min_size=1, max_size=8), st.sampled_from(["UTC", "Europe/London", "Asia/Kolkata"]))
def test_a_time_does_not_depend_on_other_rows(texts: list[str], zone: str) -> None:
    together = parse_timestamps(pa.array(texts), zone)
    for text, value, reason in zip(texts, together.values.to_pylist(), together.reasons, strict=True):
        alone = parse_timestamps(pa.array([text]), zone)
        assert (alone.values[0].as_py(), alone.reasons[0]) == (value, reason)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=6), min_size=1, max_size=8))
def test_every_row_has_a_value_or_a_reason(cells: list[bytes]) -> None:
    column = pa.array(cells, pa.binary())
    parsed = [parse_timestamps(column, "UTC"), parse_energy(column, "kWh"), parse_ids(column)]
    for each in parsed:
        assert each.values.is_null().to_pylist() == [reason != "" for reason in each.reasons]
    assert len(reasons_of(*parsed)) == len(cells)


def choose(*header: str, **named: str) -> Columns:
    given_ = {"timestamp": None, "device": None, "value": None, "unit": None, **named}
    return choose_columns(header, **given_)


def test_columns_are_found_by_their_names() -> None:
    assert choose("building_id", "ts_start", "kwh") == Columns("ts_start", "building_id", "kwh", "kWh")
    assert choose("Timestamp", "Meter ID", "Energy (Wh)") == Columns("Timestamp", "Meter ID", "Energy (Wh)", "Wh")
    # The platform's own names have priority over other matching names.
    own = choose("timestamp", "time", "device_id", "building_id", "power_usage_kWh", "energy")
    assert own == Columns("timestamp", "device_id", "power_usage_kWh", "kWh")
    assert choose("a", "b", "c", timestamp="a", device="b", value="c", unit="MWh").unit == "MWh"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (("when", "device_id", "kwh"), "No column is recognized as the time; set it with --timestamp-column.*'when'"),
        (("start", "time", "device_id", "kwh"), "Several columns may be the time.*--timestamp-column"),
        (("time", "kwh"), "--device-column"),
        (("time", "device_id", "energy", "usage"), "--value-column"),
        (
            ("timestamp", "timestamp", "device_id", "kwh"),
            "'timestamp', which may be the time, occurs 2 times.*Split it",
        ),
    ],
)
def test_missing_and_ambiguous_columns_are_refused(header: tuple[str, ...], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        choose(*header)


def test_a_given_column_must_exist() -> None:
    with pytest.raises(SourceError, match="no column 'x' .--value-column.. Columns: 'time', 'device_id', 'kwh'"):
        choose("time", "device_id", "kwh", value="x")
