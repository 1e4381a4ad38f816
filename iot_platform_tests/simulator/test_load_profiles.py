"""Load profiles: simulated buildings use energy as real buildings are known to."""

from __future__ import annotations

import datetime as dt
import math
import sys

import numpy as np
import pandas as pd
import pytest

from iot_platform.errors import PlatformError
from iot_platform.simulator import consumption, load_profiles, population
from iot_platform.simulator.faults import FaultRates
from iot_platform.simulator.load_profiles import BUILDING_TYPES, TIME_ZONE, energy_shares, holidays, quarter_shares
from iot_platform.simulator.simulated_readings import Simulator

TYPES = list(BUILDING_TYPES)
HOURLY = Simulator(devices=300, interval_s=3600, seed=2, faults=FaultRates.none())


def utc_s(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(dt.datetime(year, month, day, hour, minute, tzinfo=dt.UTC).timestamp())


def share(kind: str, start_s: int, interval_s: int = 3600, shift_s: int = 0) -> float:
    arrays = np.array([TYPES.index(kind)]), np.array([start_s]), np.array([shift_s])
    return float(energy_shares(*arrays, interval_s)[0])


@pytest.fixture(scope="module")
def year() -> pd.DataFrame:
    """A local year of hourly readings: columns are meters."""
    start = dt.datetime(2025, 12, 31, 23, tzinfo=dt.UTC)
    hour = dt.timedelta(hours=1)
    table = HOURLY.arrivals(start + hour, start + dt.timedelta(days=365) + hour).to_pandas()
    return table.pivot_table(index="timestamp", columns="device_id", values="power_usage_kWh").tz_convert(TIME_ZONE)


@pytest.fixture(scope="module")
def by_type(year: pd.DataFrame) -> pd.DataFrame:
    """The mean meter of each building type."""
    kinds = HOURLY.device_metadata().set_index("device_id").building_type
    return year.T.groupby(kinds).mean().T


def local_times(frame: pd.DataFrame) -> pd.DatetimeIndex:
    """The rows' times."""
    assert isinstance(frame.index, pd.DatetimeIndex)
    return frame.index


def test_households_use_most_in_the_evening_and_least_at_night(by_type: pd.DataFrame) -> None:
    hours = by_type.residential.groupby(local_times(by_type).hour).mean()
    assert hours.idxmax() in range(17, 21)
    assert hours.loc[18:20].mean() > 2 * hours.loc[1:4].mean()


def test_solar_homes_use_little_at_noon_in_summer(by_type: pd.DataFrame) -> None:
    june = by_type[local_times(by_type).month == 6]
    hours = june.residential_solar.groupby(local_times(june).hour).mean()
    assert hours.loc[11:14].mean() < 0.5 * hours.loc[19:22].mean()


def test_offices_are_closed_at_weekends_and_bakeries_on_sundays(by_type: pd.DataFrame) -> None:
    days = by_type.groupby(local_times(by_type).day_of_week).mean()
    assert days.office.loc[5:6].max() < 0.35 * days.office.loc[0:4].min()
    assert days.bakery.loc[5] > 1.5 * days.bakery.loc[6]
    assert days.bakery.loc[0:4].mean() > 1.5 * days.bakery.loc[6]


def test_bakeries_start_before_offices(by_type: pd.DataFrame) -> None:
    workdays = by_type[local_times(by_type).day_of_week < 5]
    hours = workdays.groupby(local_times(workdays).hour).mean()
    assert hours.bakery.loc[5] > 0.7 * hours.bakery.max()
    assert hours.office.loc[5] < 0.2 * hours.office.max()


def test_holidays_are_like_sundays(by_type: pd.DataFrame) -> None:
    assert by_type.office.loc["2026-01-06"].mean() < 0.35 * by_type.office.loc["2026-01-13"].mean()
    assert by_type.office.loc["2026-04-06"].mean() < 0.35 * by_type.office.loc["2026-04-13"].mean()


def test_households_use_more_in_winter_than_in_summer(by_type: pd.DataFrame) -> None:
    months = by_type.residential.groupby(local_times(by_type).month).mean()
    assert months.loc[[12, 1, 2]].mean() > 1.2 * months.loc[[6, 7, 8]].mean()


def test_a_year_sums_to_the_annual_consumption(year: pd.DataFrame) -> None:
    ratio = year.sum().to_numpy() / population.build_population(HOURLY.seed, 1, HOURLY.devices).annual_kWh
    assert np.abs(ratio - 1).max() < 0.1
    assert abs(ratio.mean() - 1) < 0.01


def test_meters_of_a_type_differ(year: pd.DataFrame) -> None:
    kinds = HOURLY.device_metadata().set_index("device_id").building_type
    homes = year[kinds[kinds == "residential"].index]
    assert homes.sum().std() > 0.2 * homes.sum().mean()
    # Two homes still differ after their common daily profile is removed.
    assert homes.pct_change().iloc[1:, :20].corr().to_numpy()[np.triu_indices(20, 1)].mean() < 0.5


def test_consumption_changes_slowly_from_hour_to_hour() -> None:
    simulator = Simulator(60, 60, seed=4, faults=FaultRates.none())
    start = dt.datetime(2026, 1, 14, tzinfo=dt.UTC)
    table = simulator.arrivals(start, start + dt.timedelta(days=1)).to_pandas()
    minutes = table.pivot_table(index="timestamp", columns="device_id", values="power_usage_kWh")
    correlation = minutes.rolling(5).mean().apply(lambda meter: meter.autocorr(15))
    assert correlation.mean() > 0.5


@pytest.mark.parametrize("kind", TYPES)
def test_no_reading_without_a_fault_reaches_the_limit(kind: str) -> None:
    building = BUILDING_TYPES[kind]
    hours = quarter_shares(2026)[TYPES.index(kind)].reshape(-1, 4).sum(axis=1)
    variation = (1 + 2 * building.hour_spread) * (1 + 2 * building.day_spread)
    noise = 1 + 3 * building.reading_noise * math.sqrt(300 / 3600)
    assert building.annual_kWh[1] * hours.max() * variation * noise < 90
    assert hours.min() > 0


@pytest.mark.parametrize("year", [2024, 2025, 2026])
def test_profiles_cover_the_year_and_sum_to_one(year: int) -> None:
    shares = quarter_shares(year)
    days = 366 if year == 2024 else 365
    assert shares.shape == (len(TYPES), days * 96)
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-7)
    assert (shares > 0).all()


@pytest.mark.parametrize("interval_s", [1, 48, 60, 240, 720, 900, 1200, 1800])
def test_intervals_sum_to_the_hour(interval_s: int) -> None:
    starts = utc_s(2026, 2, 3, 7) + np.arange(0, 3600, interval_s)
    for kind, shift_s in (("office", 0), ("residential", -1500), ("bakery", 1800)):
        arrays = np.array([TYPES.index(kind)]), starts, np.array([shift_s])
        parts = energy_shares(*arrays, interval_s)
        assert parts.sum() == pytest.approx(share(kind, int(starts[0]), shift_s=shift_s), rel=1e-8)
    assert share("office", int(starts[0])) == pytest.approx(
        quarter_shares(2026)[TYPES.index("office"), 33 * 96 + 32 : 33 * 96 + 36].sum(), rel=1e-9
    )


@pytest.mark.parametrize(
    ("before_s", "after_s"),
    [
        (utc_s(2026, 3, 23, 7), utc_s(2026, 3, 30, 6)),  # Mondays 08:00 local, before and after the clocks go forward
        (utc_s(2026, 10, 19, 6), utc_s(2026, 10, 26, 7)),  # and back
    ],
)
def test_buildings_follow_the_local_clock(before_s: int, after_s: int) -> None:
    assert share("office", before_s) == pytest.approx(share("office", after_s), rel=1e-9)
    assert share("office", before_s) > 1.2 * share("office", before_s - 3600)


def test_the_repeated_and_the_skipped_hour() -> None:
    forward = load_profiles.wall_clock_s(np.array([utc_s(2026, 3, 29, 0, 59), utc_s(2026, 3, 29, 1)]))
    assert (forward == [utc_s(2026, 3, 29, 1, 59), utc_s(2026, 3, 29, 3)]).all()
    assert share("bakery", utc_s(2026, 10, 25, 0)) == share("bakery", utc_s(2026, 10, 25, 1))
    day = [utc_s(2026, 10, 24, 22) + hour * 3600 for hour in range(25)]
    quarters = quarter_shares(2026)[TYPES.index("farm")].reshape(365, 24, 4).sum(axis=2)[297]
    assert sum(share("farm", start) for start in day) == pytest.approx(quarters.sum() + quarters[2], rel=1e-8)


def test_single_readings_agree_with_the_table_to_the_last_bit() -> None:
    meters = population.build_population(seed=9, first_device=5, devices=37)
    slots = np.arange(utc_s(2025, 12, 31, 20) // 240, utc_s(2026, 1, 1, 4) // 240)
    table = consumption.energy_table(meters, slots, 240, consumption.bits_of_slots(meters, slots))
    rows, columns = np.divmod(np.arange(table.size)[::-3], 37)
    assert np.array_equal(table[rows, columns], consumption.energy_of(meters, slots[rows], columns, 240))


@pytest.mark.parametrize(
    ("year", "easter"), [(2000, (4, 23)), (2024, (3, 31)), (2025, (4, 20)), (2026, (4, 5)), (2038, (4, 25))]
)
def test_holidays_follow_easter(year: int, easter: tuple[int, int]) -> None:
    sunday = dt.date(year, *easter)
    assert {sunday - dt.timedelta(2), sunday + dt.timedelta(1), dt.date(year, 1, 6)} <= set(holidays(year))
    assert len(holidays(year)) == 13


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "oemof.demand", None)
    with pytest.raises(PlatformError, match=r"pip install 'iot-platform\[simulator\]'"):
        quarter_shares(1999)
