"""Load profiles: how a building's annual consumption is distributed over the local time of the simulated city.

They are the standard load profiles of the German energy industry, from the package oemof-demand:
H25, P25, G25, L25 (BDEW 2025) and G1-G6 (VDEW "Repraesentative VDEW-Lastprofile", 1999). They give the energy of each
quarter of an hour in local time, for working days, Saturdays and Sundays/holidays of each season or month.
"""

from __future__ import annotations

import datetime as dt
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iot_platform.errors import PlatformError
from iot_platform.simulator.random_numbers import Floats

#: Time zone of the simulated city (Munich). The profiles are in local time, readings in UTC.
TIME_ZONE = "Europe/Berlin"

QUARTER_S = 900

#: Quarters of an hour that are repeated at both ends of a year's table, for meters with a time shift.
_MARGIN = 8


@dataclass(frozen=True)
class BuildingType:
    """How buildings of one type use energy.

    profile        name of the standard load profile
    annual_kWh     lowest and highest annual consumption of one meter, kWh
    share          relative frequency among the meters of its group (homes or businesses)
    hour_spread    amplitude of the variation from hour to hour around the profile, 0 to 1
    day_spread     amplitude of the variation from day to day, 0 to 1
    reading_noise  amplitude of the noise from one reading to the next in short intervals, 0 to 1
    home           a household, which has one meter
    """

    profile: str
    annual_kWh: tuple[float, float]
    share: float
    hour_spread: float
    day_spread: float
    reading_noise: float
    home: bool = False


BUILDING_TYPES: dict[str, BuildingType] = {
    "residential": BuildingType("H25", (1_400, 6_500), 0.85, 0.6, 0.25, 0.85, home=True),
    "residential_solar": BuildingType("P25", (1_000, 4_500), 0.15, 0.6, 0.35, 0.85, home=True),
    "office": BuildingType("g1", (8_000, 60_000), 0.30, 0.12, 0.08, 0.10),
    "retail": BuildingType("g4", (10_000, 90_000), 0.22, 0.12, 0.08, 0.12),
    "restaurant": BuildingType("g2", (15_000, 70_000), 0.13, 0.20, 0.12, 0.20),
    "bakery": BuildingType("g5", (20_000, 80_000), 0.08, 0.15, 0.08, 0.15),
    "leisure": BuildingType("g6", (15_000, 80_000), 0.07, 0.20, 0.12, 0.15),
    "healthcare": BuildingType("g3", (60_000, 250_000), 0.04, 0.08, 0.05, 0.05),
    "industrial": BuildingType("G25", (60_000, 180_000), 0.10, 0.15, 0.08, 0.10),
    "farm": BuildingType("L25", (8_000, 45_000), 0.06, 0.25, 0.12, 0.20),
}


def holidays(year: int) -> list[dt.date]:
    """Public holidays of the simulated city (Munich); the profiles treat them as Sundays."""
    fixed = [(1, 1), (1, 6), (5, 1), (8, 15), (10, 3), (11, 1), (12, 25), (12, 26)]
    # Days after Easter Sunday: Good Friday, Easter Monday, Ascension, Whit Monday, Corpus Christi.
    moving = [-2, 1, 39, 50, 60]
    easter = _easter(year)
    return sorted([dt.date(year, *day) for day in fixed] + [easter + dt.timedelta(days) for days in moving])


def _easter(year: int) -> dt.date:
    """Easter Sunday of the Gregorian calendar ("anonymous" algorithm, Meeus, Astronomical Algorithms, chapter 8)."""
    golden = year % 19
    century, of_century = divmod(year, 100)
    skipped, rest = divmod(century, 4)
    moon = (19 * golden + century - skipped - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    quads, single = divmod(of_century, 4)
    sunday = (32 + 2 * rest + 2 * quads - moon - single) % 7
    late = (golden + 11 * moon + 22 * sunday) // 451
    month, day = divmod(moon + sunday - 7 * late + 114, 31)
    return dt.date(year, month, day + 1)


@lru_cache(maxsize=8)
def quarter_shares(year: int) -> Floats:
    """Share of the annual consumption in each quarter of an hour of a local year, for every building type.

    Shape: (building types in the order of BUILDING_TYPES, quarters of the year); each row sums to 1. Changes of the
    clock are ignored: every day has 96 quarters. The first call for a year takes about 0.3 s.
    """
    try:
        from oemof.demand import bdew
    except ImportError as error:
        raise PlatformError(
            "The simulator needs the standard load profiles: pip install 'iot-platform[simulator]'"
        ) from error
    clock = pd.date_range(dt.datetime(year, 1, 1), dt.datetime(year + 1, 1, 1), freq="15min", inclusive="left")
    days_off = [dt.datetime.combine(day, dt.time()) for day in holidays(year)]
    with warnings.catch_warnings():
        # oemof-demand calls functions of pandas that are deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        static = bdew.ElecSlp(year, holidays=days_off).get_profiles()
        shapes = [
            static[kind.profile] if kind.profile in static else getattr(bdew, kind.profile)(clock, holidays=days_off)
            for kind in BUILDING_TYPES.values()
        ]
    table = np.stack([np.asarray(shape, dtype=np.float64) for shape in shapes])
    # Rounded, because the last bits of a sum depend on the CPU and would change the readings.
    shares: Floats = np.round(table / table.sum(axis=1, keepdims=True), 12)
    return shares


@lru_cache(maxsize=8)
def _cumulative(year: int) -> tuple[Floats, Floats]:
    """Cumulative share before each quarter, and share of each quarter; with _MARGIN repeated quarters at both ends."""
    quarters = np.pad(quarter_shares(year), ((0, 0), (_MARGIN, _MARGIN)), mode="wrap")
    before = np.cumsum(quarters, axis=1) - quarters
    return before, quarters


def wall_clock_s(starts_s: NDArray[np.int64]) -> NDArray[np.int64]:
    """Convert UTC seconds since 1970 to local wall clock time, in seconds since 1970-01-01 00:00 local."""
    # This time zone changes its offset only at whole UTC hours, so one look-up per hour is enough.
    hours, inverse = np.unique(starts_s // 3600, return_inverse=True)
    utc = pd.DatetimeIndex((hours * 3600).astype("datetime64[s]"), tz="UTC")
    local = utc.tz_convert(TIME_ZONE).tz_localize(None).as_unit("s")
    offsets = local.asi8 - hours * 3600
    return np.asarray(starts_s + offsets[inverse], dtype=np.int64)


def energy_shares(
    types: NDArray[np.intp], starts_s: NDArray[np.int64], shifts_s: NDArray[np.int64], interval_s: int
) -> Floats:
    """Share of the annual consumption in the interval that starts at each UTC time.

    Args:
        types: position in BUILDING_TYPES; broadcast with the others.
        starts_s: UTC seconds since 1970, along the first axis: one-dimensional, or a column for a (start, meter) table.
        shifts_s: seconds by which the meter's building runs ahead of its profile, from -3600 to 3600.
        interval_s: length of the intervals in seconds, at most 3600.

    The power is constant within a quarter of an hour, so the intervals of a quarter sum exactly to the profile.
    """
    shape = np.broadcast_shapes(types.shape, starts_s.shape, shifts_s.shape)
    column = (-1,) + (1,) * (len(shape) - 1)
    kinds, shifts = np.broadcast_to(types, shape), np.broadcast_to(shifts_s, shape)
    wall = wall_clock_s(starts_s.ravel()).astype("datetime64[s]")
    years = wall.astype("datetime64[Y]")
    shares = np.empty(shape, dtype=np.float64)
    for year in np.unique(years):
        rows = years == year
        begins = (wall[rows] - year).astype(np.int64).reshape(column) + shifts[rows]
        tables = _cumulative(int(str(year)))
        shares[rows] = _share_until(*tables, kinds[rows], begins + interval_s) - _share_until(
            *tables, kinds[rows], begins
        )
    return shares


def _share_until(before: Floats, quarters: Floats, kinds: NDArray[np.intp], seconds: NDArray[np.int64]) -> Floats:
    """Share of the year's consumption before a second of the local year."""
    quarter, rest = np.divmod(seconds + _MARGIN * QUARTER_S, QUARTER_S)
    used: Floats = before[kinds, quarter] + quarters[kinds, quarter] * (rest * (1 / QUARTER_S))
    return used
