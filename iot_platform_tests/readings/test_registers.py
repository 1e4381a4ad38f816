"""Registers: the energy between readings, however they are cut, and series that look like a register."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_platform.readings.files.registers import RegisterReader, readings_table, suspects
from iot_platform.readings.files.series import MeterSeries

HALF_HOUR = 1800


def differences(values: list[float], cuts: list[int], *, interval_s: int = 0, step_s: int = HALF_HOUR) -> list[float]:
    """The intervals of one meter, whose readings come in pieces that end at ``cuts``."""
    reader = RegisterReader(interval_s)
    seconds = np.arange(1, len(values) + 1, dtype=np.int64) * step_s
    found: list[float] = []
    bounds = [0, *sorted({cut for cut in cuts if 0 < cut < len(values)}), len(values)]
    for start, stop in itertools.pairwise(bounds):
        devices = np.full(stop - start, 5, dtype=np.int64)
        table = reader.intervals(readings_table(seconds[start:stop], devices, np.array(values[start:stop], np.float64)))
        found += table["power_usage_kWh"].to_numpy().tolist()
    assert reader.without_interval == (1 if values else 0)
    return found


eighths = st.integers(0, 80_000).map(lambda number: number / 8)


@given(st.lists(eighths, min_size=1, max_size=40).map(sorted), st.lists(st.integers(0, 40), max_size=6))
def test_the_intervals_of_a_rising_register_are_last_minus_first(values: list[float], cuts: list[int]) -> None:
    found = differences(values, cuts)
    assert len(found) == len(values) - 1
    assert sum(found) == values[-1] - values[0]
    assert min(found, default=0) >= 0


@given(st.lists(eighths, min_size=1, max_size=40), st.lists(st.integers(0, 40), max_size=6))
def test_the_cut_into_pieces_changes_nothing(values: list[float], cuts: list[int]) -> None:
    assert differences(values, cuts) == differences(values, [])


@given(st.lists(st.lists(eighths.map(lambda value: value + 100), min_size=1, max_size=9).map(sorted), min_size=1))
def test_each_reset_begins_at_zero(runs: list[list[float]]) -> None:
    # Each run but the first begins near 0, below any value before.
    runs = [runs[0], *([value - run[0] for value in run] for run in runs[1:])]
    values = [value for run in runs for value in run]
    if any(before[-1] < 100 for before in runs[:-1]):
        return  # the run before was too short to tell a reset
    expected = runs[0][-1] - runs[0][0] + sum(run[-1] for run in runs[1:])
    assert sum(differences(values, [])) == expected


@pytest.mark.parametrize(
    ("values", "energies"),
    [
        ([10.0, 10.5, 10.4, 10.6], [0.5, 0.0, 0.1]),  # 0.1 back is no reset
        ([500.0, 501.0, 0.25, 1.0], [1.0, 0.25, 0.75]),  # reset
        ([500.0, 300.0, 301.0], [-200.0, 1.0]),  # neither: shown as negative energy
        ([1.0, math.nan, 2.0], [math.nan, 1.0]),
        ([1.0, -1.0, 2.0], [-1.0, 1.0]),
    ],
)
def test_falls(values: list[float], energies: list[float]) -> None:
    seconds = np.arange(1, len(values) + 1, dtype=np.int64) * HALF_HOUR
    table = readings_table(seconds, np.full(len(values), 5), np.array(values))
    found = RegisterReader().intervals(table)["power_usage_kWh"].to_numpy()
    assert sorted(map(repr, np.round(found, 9))) == sorted(map(repr, np.array(energies)))


def test_order_repeated_times_and_gaps() -> None:
    seconds = np.array([3, 1, 2, 2, 8]) * HALF_HOUR
    table = readings_table(seconds, np.full(5, 5), np.array([3.0, 1.0, 9.0, 2.0, 8.0]))
    reader = RegisterReader(HALF_HOUR)
    found = reader.intervals(table)
    starts = found["timestamp"].cast(pa.int64()).to_pylist()
    # The last reading of a time counts; the energy of a gap is put into the last interval of the gap.
    assert list(zip(starts, found["power_usage_kWh"].to_pylist(), strict=True)) == [
        (1 * HALF_HOUR, 1.0),
        (2 * HALF_HOUR, 1.0),
        (7 * HALF_HOUR, 5.0),
    ]
    assert reader.without_interval == 2


def series_of(values: list[float], cut: int = 10) -> MeterSeries:
    series = MeterSeries()
    seconds = np.arange(1, len(values) + 1, dtype=np.int64) * HALF_HOUR
    for start in range(0, len(values), cut):
        part = np.array(values[start : start + cut], dtype=np.float64)
        codes = series.codes(["m"]).repeat(len(part))
        series.add(codes, seconds[start : start + cut], part)
    return series


@pytest.mark.parametrize(
    ("values", "is_suspect"),
    [
        ([12.5 + 0.2 * n for n in range(48)], True),
        ([0.2 * n for n in range(48)], True),  # a new meter
        ([*(100 + 0.5 * n for n in range(30)), *(0.5 * n for n in range(30))], True),  # with a reset
        ([100 + 0.1 * (n // 3) for n in range(60)], True),  # coarse: often unchanged
        ([12.5 + 0.2 * n for n in range(11)], False),  # too short
        ([float(n) for n in range(20)], False),
        ([0.5] * 40 + [0.51], False),
        ([0.3 + 0.2 * math.sin(n / 7) for n in range(96)], False),
    ],
)
def test_series_that_look_like_a_register(values: list[float], is_suspect: bool) -> None:
    assert suspects(series_of(values)) == (["m"] if is_suspect else [])


def test_intervals_of_meters() -> None:
    series = MeterSeries()
    steps = {"a": [0, 30, 60, 120], "b": [0, 15, 30, 45], "c": [0, 10, 25, 26], "d": [7]}
    for name, minutes in steps.items():
        [code] = series.codes([name])
        for part in (minutes[:2], minutes[2:]):
            seconds = np.array(part, dtype=np.int64) * 60
            series.add(np.full(len(part), code), seconds, np.ones(len(part)))
    assert dict(zip(series.names, series.intervals().tolist(), strict=True)) == {"a": 1800, "b": 900, "c": -1, "d": 0}
