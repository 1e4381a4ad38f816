"""Places that are probably wrong: in the sea, with latitude and longitude swapped, or far from all other meters."""

from __future__ import annotations

import numpy as np
import pandas as pd

from iot_platform.devices.time_zones import zones_at

# The zone of a place is looked up for so many places: each takes some microseconds.
MOST_PLACES = 20_000
METERS_SHOWN = 3
# Of fewer meters none is far from "the others".
FEW_METERS = 5
# A meter is far from the others if it is this far from their middle, and this many times as far as half of them are.
FAR_KM, FAR_TIMES = 500.0, 10.0
EARTH_RADIUS_KM = 6371.0

_PLACE = ["latitude", "longitude"]


def place_notes(changed: pd.DataFrame, others: pd.DataFrame) -> list[str]:
    """Sentences about the places of ``changed`` that are probably wrong.

    ``changed``: meter (its id), latitude, longitude (degrees); ``others``: the latitude and longitude of all others.
    """
    if changed.empty:
        return []
    rows = changed.drop_duplicates(["meter", *_PLACE]).head(MOST_PLACES).reset_index(drop=True)
    at_sea = _uninhabited(rows["latitude"], rows["longitude"])
    swapped = at_sea & rows["longitude"].abs().le(90)
    swapped[swapped] &= ~_uninhabited(rows.loc[swapped, "longitude"], rows.loc[swapped, "latitude"])
    far = _far(rows, others) & ~at_sea
    return [
        *_note(rows[swapped], "Latitude and longitude seem to be swapped: places in the sea or in Antarctica"),
        *_note(rows[at_sea & ~swapped], "Places in the sea or in Antarctica"),
        *_note(rows[far], "Places far from all other meters"),
    ]


def _uninhabited(latitudes: pd.Series, longitudes: pd.Series) -> pd.Series:
    zones = pd.Series(zones_at(latitudes, longitudes), index=latitudes.index, dtype=object)
    # Nautical zones are those of the open sea.
    return zones.str.startswith(("Etc/", "Antarctica/")).astype(bool) | zones.eq("")


def _far(rows: pd.DataFrame, others: pd.DataFrame) -> pd.Series:
    every = pd.concat([part[_PLACE] for part in (rows, others) if not part.empty])
    if len(every) < FEW_METERS:
        return pd.Series(False, index=rows.index)
    middle = every.median()
    usual_km = float(_distance_km(every, middle).median())
    return _distance_km(rows, middle) > max(FAR_KM, FAR_TIMES * usual_km)


def _distance_km(places: pd.DataFrame, middle: pd.Series) -> pd.Series:
    """The great-circle distance from a place, by the haversine formula."""
    latitude, longitude = np.radians(places["latitude"]), np.radians(places["longitude"])
    to_latitude, to_longitude = np.radians(middle["latitude"]), np.radians(middle["longitude"])
    chord = (
        np.sin((latitude - to_latitude) / 2) ** 2
        + np.cos(latitude) * np.cos(to_latitude) * np.sin((longitude - to_longitude) / 2) ** 2
    )
    return pd.Series(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(chord, 0, 1))), index=places.index)


def _note(rows: pd.DataFrame, what: str) -> list[str]:
    if rows.empty:
        return []
    first = rows.head(METERS_SHOWN).to_dict("records")
    shown = [f"{row['meter']} at {row['latitude']!r}, {row['longitude']!r}" for row in first]
    more = ", ..." if len(rows) > METERS_SHOWN else ""
    return [f"{what} (meters: {len(rows):,}): {'; '.join(shown)}{more}."]
