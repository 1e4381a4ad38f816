"""The time zone of a site, by its name or its coordinates."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

import pandas as pd
from timezonefinder import TimezoneFinder


@cache
def known_zones() -> frozenset[str]:
    """The names of all IANA time zones, e.g. Europe/London."""
    return frozenset(available_timezones())


def zones_at(latitudes: pd.Series, longitudes: pd.Series) -> list[str]:
    """The IANA time zone of each place (degrees, WGS 84); at sea the nautical one, e.g. Etc/GMT+3.

    The package timezonefinder contains the boundaries, from OpenStreetMap; no network is used.
    """
    finder = _finder()
    places = list(zip(latitudes, longitudes, strict=True))
    found = {place: finder.timezone_at(lat=place[0], lng=place[1]) or "" for place in set(places)}
    return [found[place] for place in places]


@cache
def _finder() -> TimezoneFinder:
    return TimezoneFinder()
