"""The stream of simulated readings is deterministic, can be split anywhere, and follows the settings."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_platform.errors import PlatformError
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.settings import Settings
from iot_platform.simulator.faults import FaultRates
from iot_platform.simulator.simulated_readings import ARRIVAL_SCHEMA, Simulator

NEW_YEAR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
MANY_FAULTS = FaultRates(negative=0.05, nan=0, spike=0.05, late=0.1, duplicate=0.1, missing=0.1)
INTERVALS_S = [20, 60, 240, 900, 1200, 3600]


def after(seconds: float) -> dt.datetime:
    return NEW_YEAR + dt.timedelta(seconds=seconds)


@settings(max_examples=60, deadline=None)
@given(
    interval_s=st.sampled_from(INTERVALS_S),
    start=st.integers(-40_000, 20_000),
    lengths=st.lists(st.integers(0, 15_000), min_size=1, max_size=5),
    devices=st.integers(1, 9),
)
def test_a_window_may_be_split_anywhere(interval_s: int, start: int, lengths: list[int], devices: int) -> None:
    simulator = Simulator(devices, interval_s, seed=3, first_device=26, faults=MANY_FAULTS)
    cuts = [start + sum(lengths[:count]) for count in range(len(lengths) + 1)]
    parts = [simulator.arrivals(after(begin), after(end)) for begin, end in zip(cuts, cuts[1:], strict=False)]
    whole = simulator.arrivals(after(cuts[0]), after(cuts[-1]))
    assert whole.combine_chunks().equals(pa.concat_tables(parts).combine_chunks())


def test_meters_are_independent_of_how_many_are_simulated() -> None:
    window = after(0), after(7200)
    both = Simulator(40, 60, seed=5, faults=MANY_FAULTS).arrivals(*window).to_pandas()
    upper = Simulator(17, 60, seed=5, first_device=24, faults=MANY_FAULTS).arrivals(*window).to_pandas()
    expected = both[both.device_id >= 24].reset_index(drop=True)
    assert expected.equals(upper)


def test_same_source_means_same_readings_and_another_source_other_readings() -> None:
    window = after(0), after(3600)
    first, again = Simulator(20, 60, seed=1), Simulator(20, 60, seed=1)
    others = [
        Simulator(20, 60, seed=2),
        Simulator(21, 60, seed=1),
        Simulator(20, 30, seed=1),
        Simulator(20, 60, seed=1, first_device=2),
        Simulator(20, 60, seed=1, faults=MANY_FAULTS),
    ]
    assert first.source() == again.source()
    assert first.arrivals(*window).equals(again.arrivals(*window))
    assert len({first.source(), *(other.source() for other in others)}) == 6
    assert not any(first.arrivals(*window).equals(other.arrivals(*window)) for other in others)


def test_readings_of_this_version_never_change() -> None:
    """If this fails, increase _VERSION in simulated_readings.py, so that the changed stream gets a new name."""
    simulator = Simulator(50, 60, seed=1, faults=MANY_FAULTS)
    table = simulator.arrivals(after(-7200), after(3600)).to_pandas()
    table["timestamp"] = table["timestamp"].astype("int64")
    text = table.to_csv(index=False, lineterminator="\n", float_format="%.4f")
    assert simulator.source().startswith("simulator:v1:")
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "67b8e1535312b257"


def test_the_time_zones_of_caller_and_process_have_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    window = dt.datetime(2026, 3, 29, tzinfo=dt.UTC), dt.datetime(2026, 3, 29, 3, tzinfo=dt.UTC)
    at_home = Simulator(5, 900, seed=8).arrivals(*window)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        abroad = Simulator(5, 900, seed=8).arrivals(*(time.astimezone(ZoneInfo("America/New_York")) for time in window))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert at_home.equals(abroad)


def test_a_reading_arrives_at_the_end_of_its_interval() -> None:
    simulator = Simulator(3, 900, seed=1, faults=FaultRates.none())
    assert simulator.arrivals(after(0), after(0)).schema == ARRIVAL_SCHEMA
    assert simulator.arrivals(after(1), after(900)).num_rows == 0
    table = simulator.arrivals(after(900), after(900.5))
    assert table.drop_columns("label").schema == READING_SCHEMA
    assert set(table["timestamp"].to_pylist()) == {NEW_YEAR}
    assert table["device_id"].to_pylist() == [1, 2, 3]


def test_values_are_whole_steps_of_a_register_and_not_all_zero_in_short_intervals() -> None:
    table = Simulator(10, 1, seed=1, faults=FaultRates.none()).arrivals(after(0), after(3600)).to_pandas()
    steps = table.power_usage_kWh * 10_000
    assert ((steps - steps.round()).abs() < 1e-6).all()
    assert (table.power_usage_kWh >= 0).all()
    per_minute = Simulator(10, 60, seed=1, faults=FaultRates.none()).arrivals(after(60), after(3660)).to_pandas()
    assert (per_minute.groupby("device_id").power_usage_kWh.median() > 0).all()
    # Rounding keeps the sum: the same hour in intervals of seconds and of minutes.
    hours = [frame.groupby("device_id").power_usage_kWh.sum() for frame in (table, per_minute)]
    assert ((hours[0] / hours[1] - 1).abs() < 0.35).all()


def test_settings_describe_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_SIMULATOR_DEVICES", "12")
    monkeypatch.setenv("IOT_SIMULATOR_INTERVAL_S", "900")
    monkeypatch.setenv("IOT_SIMULATOR_SEED", "7")
    assert Simulator.from_settings(Settings()) == Simulator(devices=12, interval_s=900, seed=7)


@pytest.mark.parametrize("interval_s", [0, -60, 7, 7200])
def test_intervals_must_divide_an_hour(interval_s: int) -> None:
    with pytest.raises(PlatformError, match="divide 3600"):
        Simulator(1, interval_s, seed=1)


def test_windows_need_a_time_zone_and_must_not_end_before_they_start() -> None:
    simulator = Simulator(1, 60, seed=1)
    with pytest.raises(PlatformError, match="time zone"):
        simulator.arrivals(dt.datetime(2026, 1, 1), after(60))
    with pytest.raises(PlatformError, match="ends before"):
        simulator.arrivals(after(60), after(0))
    with pytest.raises(PlatformError, match="2\\^32"):
        Simulator(10, 60, seed=1, first_device=2**32 - 5)
