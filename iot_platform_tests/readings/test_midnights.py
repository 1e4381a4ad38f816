"""00:00 with the date of the day that it ends, in files with date and time in two columns."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_platform.errors import SourceError
from iot_platform.readings.files.midnights import Midnights
from iot_platform_tests.readings.formats.rows_of import inspect

QUARTERS = [f"{n // 4:02}:{n % 4 * 15:02}" for n in range(96)]
# The first day is named by the date at its end; 00:00 is the last row of each date.
WRONG = [*QUARTERS[1:], "00:00"]


def rows(times: list[str], *dates: str, meter: str = "7") -> list[str]:
    return [f"{date};{time};{meter};1" for date in dates for time in times]


def check(tmp_path: Path, lines: list[str], name: str = "Time", **options: Any) -> int:
    path = tmp_path / "r.csv"
    path.write_text("\n".join([f"Date;{name};Meter;kWh", *lines]) + "\n")
    return inspect(path, **options).inspection.readable


@pytest.mark.parametrize(
    ("name", "options", "day"),
    [
        ("Time", {}, "2024-01-0{}"),
        ("Time", {"stamp": "end"}, "2024-01-0{}"),
        ("End Time", {}, "1{}.01.2024"),
        ("Time", {"timezone": "Europe/Berlin"}, "0{}/31/2024"),
    ],
)
def test_the_end_of_a_day_with_its_own_date_is_refused(
    tmp_path: Path, name: str, options: dict[str, str], day: str
) -> None:
    dates = [day.format(n) for n in (1, 3)]
    for found in (dates, dates[:1]):
        lines = rows(WRONG, *found)
        with pytest.raises(SourceError, match="line 97: 00:00 stands at the end of its date, .* next to 23:45.*24:00"):
            check(tmp_path, lines, name, **options)
        with pytest.raises(SourceError, match="00:00 stands at the end of its date"):
            check(tmp_path, lines[::-1], name, **options)
        both = [
            line for pair in zip(lines, [line.replace(";7;", ";8;") for line in lines], strict=True) for line in pair
        ]
        with pytest.raises(SourceError, match="line 192: 00:00 stands at the end"):
            check(tmp_path, both, name, **options)


@pytest.mark.parametrize("name", ["Time", "End Time"])
def test_right_dates_are_read(tmp_path: Path, name: str) -> None:
    """The order of the file and the number of its meters do not matter."""
    one, two = rows(QUARTERS, "2024-01-01"), rows(QUARTERS, "2024-01-01", "2024-01-02")
    eight = rows(QUARTERS, "2024-01-01", meter="8")
    for lines in (one, two, one + eight, (one + eight)[::-1], one[::-1] + eight[::-1], two + two):
        assert check(tmp_path, lines, name) == len(lines)
        assert check(tmp_path, lines[::-1], name) == len(lines)
    ends = [*rows(QUARTERS[1:], "2024-01-01"), "2024-01-02;00:00;7;1"]
    assert check(tmp_path, ends, name, stamp="end") == check(tmp_path, ends[::-1], name, stamp="end") == 96
    written = rows([*QUARTERS[1:], "24:00"], "2024-01-01")
    assert check(tmp_path, written, name, stamp="end") == 96


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(1, 3), st.booleans(), st.booleans())
def test_pieces_do_not_matter(data: st.DataObject, meters: int, days: int, is_wrong: bool, is_falling: bool) -> None:
    """However a file is cut, and its meters follow each other, the same is found."""
    hours = [*range(1, 24), 0] if is_wrong else [*range(24)]
    seconds = [day * 86400 + hour * 3600 for day in range(days) for hour in hours]
    if is_falling:
        seconds.reverse()
    left = {meter: list(seconds) for meter in range(meters)}
    order = []
    while left:
        meter = data.draw(st.sampled_from(sorted(left)))
        taken = data.draw(st.integers(1, 24))
        order += [(meter, second) for second in left[meter][:taken]]
        left[meter] = left[meter][taken:]
        left = {key: rest for key, rest in left.items() if rest}
    midnights, place = Midnights(), 0
    while place < len(order):
        piece = order[place : place + data.draw(st.integers(1, 40))]
        columns = np.array(piece, dtype=np.int64).T
        midnights.add(columns[0], columns[1], np.arange(place, place + len(piece)))
        place += len(piece)
    found = midnights.wrong()
    assert (found is not None) == is_wrong
    if found:
        assert order[found.place][1] == found.midnight
        assert dt.timedelta(seconds=found.other - found.midnight) == dt.timedelta(hours=23)
