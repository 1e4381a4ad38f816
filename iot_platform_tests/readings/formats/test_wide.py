"""Wide files: the values of a day, or of several meters, in one row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_platform.errors import SourceError
from iot_platform.readings.formats.day_times import DayTimes
from iot_platform.readings.formats.wide_header import find_day_columns
from iot_platform_tests.readings.formats.rows_of import rows_of

LONDON = "Europe/London"
CLOCK = [f"{n // 2:02}:{n % 2 * 30:02}" for n in range(48)]
SPRING, AUTUMN, USUAL = "2024-03-31", "2024-10-27", "2024-01-01"


def write(tmp_path: Path, *lines: str, name: str = "wide.csv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def row(date: str, values: Sequence[object], meter: str = "401") -> str:
    return ",".join([meter, date, *map(str, values)])


def header(names: list[str]) -> str:
    return ",".join(["device_id", "date", *names])


def utc(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp())


def test_a_day_in_a_row(tmp_path: Path) -> None:
    """The case l_wide_48, and a blank and a bad value."""
    values = [*["0.1"] * 46, "", "x"]
    found = rows_of(
        write(tmp_path, header(CLOCK), row(USUAL, ["0.1"] * 48), row("2024-01-02", values), row("no", [1] * 48))
    )
    assert [time for time, _, _ in found.readings[:48]] == [utc(USUAL) + 1800 * n for n in range(48)]
    assert {(meter, kWh) for _, meter, kWh in found.readings} == {("401", 0.1)}
    assert (len(found.readings), set(found.places)) == (94, {2, 3})
    assert sorted(found.rejects) == [(3, "unreadable_value"), (4, "unreadable_time")]
    assert found.format.notes() == ["1 blank values are no readings."]
    assert found.format.name == "CSV, one row per day (48 columns of 30 min)"


@pytest.mark.parametrize(
    ("names", "interval_min", "stamp", "is_clock"),
    [
        (CLOCK, 30, "start", True),
        ([*CLOCK[1:], "24:00"], 30, "end", True),
        ([*CLOCK[1:], "00:00"], 30, "end", True),
        ([f"{name}:00 (kWh)" for name in CLOCK], 30, "start", True),
        ([f"{a} - {b}" for a, b in zip(CLOCK, [*CLOCK[1:], "00:00"], strict=True)], 30, "start", True),
        ([f"kWh_{n:02}00" for n in range(24)], 60, "start", True),
        ([f"HH{n:02}" for n in range(1, 49)], 30, "start", False),
        ([str(n) for n in range(1, 51)], 30, "start", False),
        ([f"Period {n}" for n in range(96)], 15, "start", False),
        ([*CLOCK[:4], "01:00.1", "01:30.1", *CLOCK[4:]], 30, "start", True),
        ([*(f"0{n}:00" for n in range(2)), "2A:00", "2B:00", *(f"{n:02}:00" for n in range(3, 24))], 60, "start", True),
    ],
)
def test_columns_of_a_day(names: list[str], interval_min: int, stamp: str, is_clock: bool) -> None:
    found = find_day_columns(["meter", "date", *names, "total"])
    assert found is not None
    assert (found.interval_min, found.stamp, bool(found.minutes)) == (interval_min, stamp, is_clock)
    assert found.indexes == tuple(range(2, 2 + len(names)))
    assert found.unit() == ("kWh" if "kWh" in names[0] else "")


@pytest.mark.parametrize(
    "names", [CLOCK[:-1], CLOCK[::-1], [f"meter {n}" for n in range(1, 25)], [str(n) for n in range(1, 48)], ["a", "b"]]
)
def test_other_columns_are_no_day(names: list[str]) -> None:
    assert find_day_columns(["date", *names]) is None


def test_clock_times_on_the_days_of_change(tmp_path: Path) -> None:
    gap = [*range(2), "", "", *range(4, 48)]
    found = rows_of(write(tmp_path, header(CLOCK), row(SPRING, gap), row(AUTUMN, list(range(48)))), timezone=LONDON)
    spring, autumn = found.readings[:46], found.readings[46:]
    # No value is shifted: 02:00 local is 01:00 UTC.
    assert spring[2] == (utc(f"{SPRING} 01:00"), "401", 4.0)
    assert spring[-1] == (utc(f"{SPRING} 22:30"), "401", 47.0)
    assert found.rejects == [(3, "time_twice_by_daylight_saving")] * 2
    assert autumn[-1] == (utc(f"{AUTUMN} 23:30"), "401", 47.0)
    assert len(autumn) == 46
    full = rows_of(write(tmp_path, header(CLOCK), row(SPRING, list(range(48)))), timezone=LONDON)
    assert full.rejects == [(2, "time_skipped_by_daylight_saving")] * 2


def test_numbers_on_the_days_of_change(tmp_path: Path) -> None:
    names = [str(n) for n in range(1, 51)]
    days = [
        row(SPRING, [*range(46), "", "", "", ""]),
        row(AUTUMN, list(range(50))),
        row(USUAL, [*range(48), "", ""]),
        row("2024-01-02", list(range(50))),
        row(SPRING, [*range(48), "", ""], meter="402"),
    ]
    found = rows_of(write(tmp_path, header(names), *days), timezone=LONDON)
    assert found.rejects == [(5, "day_with_other_number_of_intervals"), (6, "day_with_other_number_of_intervals")]
    assert len(found.readings) == 46 + 50 + 48
    assert found.readings[45] == (utc(f"{SPRING} 22:30"), "401", 45.0)
    assert found.readings[46] == (utc("2024-10-26 23:00"), "401", 0.0)
    short = rows_of(write(tmp_path, header(names[:48]), row(AUTUMN, list(range(48)))), timezone=LONDON)
    assert short.rejects == [(2, "day_with_other_number_of_intervals")]


@settings(max_examples=60, deadline=None)
@given(
    st.dates(dt.date(1975, 1, 2), dt.date(2037, 12, 30)),
    st.sampled_from([LONDON, "Australia/Lord_Howe", "America/New_York", "Asia/Kathmandu", "UTC"]),
    st.sampled_from([24, 48, 96]),
)
def test_all_intervals_of_any_day_are_known_once(day: dt.date, zone: str, count: int) -> None:
    """Clock times with the repeated hour, and numbers, name the same intervals: all of the day, each once."""
    step = 86400 // count
    number = (day - dt.date(1970, 1, 1)).days
    numbers = find_day_columns(["date", *(str(n) for n in range(count + 3600 // step))])
    clock = find_day_columns(["date", *(f"{n * step // 3600:02}:{n * step // 60 % 60:02}" for n in range(count))])
    assert numbers and clock
    start, end = (
        int(dt.datetime.combine(at, dt.time(), tzinfo=ZoneInfo(zone)).timestamp())
        for at in (day, day + dt.timedelta(1))
    )
    assert DayTimes(numbers, zone).has_all(number) == ((end - start) % step == 0)
    if (end - start) % step:
        return
    by_number = [second for second in DayTimes(numbers, zone).of_day(number).tolist() if second >= 0]
    assert by_number == list(range(start, end, step))
    by_clock = [second for second in DayTimes(clock, zone).of_day(number).tolist() if second >= 0]
    assert set(by_clock) <= set(by_number)
    assert len(by_clock) == len(set(by_clock)) >= min(len(by_number), count) - 3600 // step


def test_dates_by_the_whole_file(tmp_path: Path) -> None:
    names = header(CLOCK)
    found = rows_of(write(tmp_path, names, row("01/02/2024", [1] * 48), row("13/02/2024", [1] * 48)))
    assert found.readings[0][0] == utc("2024-02-01")
    with pytest.raises(SourceError, match="--timestamp-format day-first"):
        rows_of(write(tmp_path, names, row("01/02/2024", [1] * 48)))
    assert rows_of(write(tmp_path, names, row("20240201", [1] * 48))).readings[0][0] == utc("2024-02-01")
    with pytest.raises(SourceError, match="no column may be its date; set it with --timestamp-column"):
        rows_of(write(tmp_path, ",".join(["device_id", "x", *CLOCK]), row(USUAL, [1] * 48)))


def test_a_column_per_meter(tmp_path: Path) -> None:
    path = write(tmp_path, "time,A-1 (Wh),0007 (Wh)", "2024-01-01 00:00,500,1000", "2024-01-01 00:30,,x")
    found = rows_of(path, wide="meters")
    assert found.readings == [(utc(USUAL), "A-1", 0.5), (utc(USUAL), "0007", 1.0)]
    assert (found.places, found.rejects) == ([2, 2], [(3, "unreadable_value")])
    assert found.format.notes() == ["1 blank values are no readings."]
    index = write(tmp_path, ";MT_001;MT_002", "2011-01-01 00:15:00;1;2")
    assert [meter for _, meter, _ in rows_of(index, wide="meters").readings] == ["MT_001", "MT_002"]
    many = write(tmp_path, ",".join(["time", *(f"MT_{n}" for n in range(9))]), ",".join(["2024-01-01", *"123456789"]))
    with pytest.raises(SourceError, match="If each column is a meter, say --wide meters"):
        rows_of(many)
    with pytest.raises(SourceError, match="several units: Wh, kWh"):
        rows_of(write(tmp_path, "time,a (Wh),b (kWh)"), wide="meters")
    with pytest.raises(SourceError, match="With --wide day the header has a column for each interval"):
        rows_of(path, wide="day")


def test_the_repeated_hour_of_several_meters(tmp_path: Path) -> None:
    names = "time,A,B"
    found = rows_of(
        write(tmp_path, names, f"{AUTUMN} 00:30,1,2", f"{AUTUMN} 01:00,1,2"), wide="meters", timezone=LONDON
    )
    assert (len(found.readings), found.rejects) == (2, [(3, "time_twice_by_daylight_saving")] * 2)
