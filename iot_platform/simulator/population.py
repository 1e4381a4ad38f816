"""The simulated city: its meters with their customers, locations and buildings.

A meter depends only on (seed, device_id), so it is the same in every simulator with this seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from iot_platform.simulator.load_profiles import BUILDING_TYPES
from iot_platform.simulator.random_numbers import Floats, UInt64s, stream_keys, uniform_numbers

#: Of each ten consecutive device_ids the first six are homes and the last four belong to businesses: even a few meters
#: include both, and their shares do not depend on the number of meters.
_GROUP = 10
_HOMES = 6

#: Probability that a business meter has the same customer and address as the meter before it.
_SAME_CUSTOMER = 0.55

#: A building runs up to _SHIFT_S ahead of or behind its profile. The shifts are multiples of _SHIFT_STEP_S, so that
#: meters can share curves.
_SHIFT_S = 1800
_SHIFT_STEP_S = 300

#: Districts of Munich (latitude, longitude): all on land, kilometres from the nearest lake.
_DISTRICTS = np.array(
    [
        (48.1374, 11.5755), (48.1629, 11.5861), (48.1510, 11.5680), (48.1180, 11.5470), (48.1290, 11.6000),
        (48.1540, 11.5310), (48.1480, 11.4610), (48.1390, 11.5030), (48.1110, 11.5960), (48.1490, 11.6200),
        (48.1800, 11.5120), (48.1830, 11.5750), (48.1150, 11.6160), (48.1240, 11.6600), (48.1140, 11.4790),
    ]
)  # fmt: skip
#: Locations of farms: farmland at the edge of the city.
_OUTSKIRTS = np.array([(48.2140, 11.5410), (48.1560, 11.4130), (48.1870, 11.4220), (48.1500, 11.6720)])
#: Largest distance of an address from the centre of its district, in degrees of latitude and longitude (about 900 m).
_SCATTER = (0.008, 0.012)


@dataclass(frozen=True, eq=False)
class Population:
    """Arrays with one value per meter, in the order of ``device_id``."""

    device_id: NDArray[np.uint32]
    customer: NDArray[np.int64]  # the lowest device_id of the customer's meters
    building_type: NDArray[np.intp]  # position in BUILDING_TYPES
    annual_kWh: Floats
    curve: NDArray[np.intp]  # position of the meter's curve: one per pair of building_type and time shift
    curve_type: NDArray[np.intp]  # building_type of each curve
    curve_shift_s: NDArray[np.int64]  # time shift of each curve, s
    hour_spread: Floats
    day_spread: Floats
    reading_noise: Floats
    reading_keys: UInt64s  # keys of random streams: per reading, hour, day, and faulty reading
    hour_keys: UInt64s
    day_keys: UInt64s
    fault_value_keys: UInt64s
    delay_keys: UInt64s


def build_population(seed: int, first_device: int, devices: int) -> Population:
    """The meters first_device to first_device + devices - 1 of the city with this seed."""
    ids = np.arange(first_device, first_device + devices, dtype=np.int64)
    customer = _customers(seed, ids)
    types = _building_types(seed, customer)
    kinds = list(BUILDING_TYPES.values())
    low, high = np.array([kind.annual_kWh for kind in kinds]).T
    chance = uniform_numbers(seed, "annual", ids)
    steps = 2 * _SHIFT_S // _SHIFT_STEP_S + 1
    shift = np.floor(uniform_numbers(seed, "shift", customer) * steps).astype(np.int64)
    curves, curve = np.unique(types * steps + shift, return_inverse=True)
    return Population(
        device_id=ids.astype(np.uint32),
        customer=customer,
        building_type=types,
        # The square makes small buildings frequent and large ones rare.
        annual_kWh=low[types] + (high - low)[types] * chance * chance,
        curve=curve.astype(np.intp),
        curve_type=(curves // steps).astype(np.intp),
        curve_shift_s=(curves % steps) * _SHIFT_STEP_S - _SHIFT_S,
        hour_spread=np.array([kind.hour_spread for kind in kinds])[types],
        day_spread=np.array([kind.day_spread for kind in kinds])[types],
        reading_noise=np.array([kind.reading_noise for kind in kinds])[types],
        reading_keys=stream_keys(seed, "reading", ids),
        hour_keys=stream_keys(seed, "hour", ids),
        day_keys=stream_keys(seed, "day", ids),
        fault_value_keys=stream_keys(seed, "spoil", ids),
        delay_keys=stream_keys(seed, "delay", ids),
    )


def device_metadata(seed: int, population: Population) -> pd.DataFrame:
    """One row per meter: device_id, customer_id, building_type, latitude, longitude (degrees, 5 digits: about 1 m)."""
    names = list(BUILDING_TYPES)
    customer = population.customer
    farms = population.building_type == names.index("farm")
    place = uniform_numbers(seed, "district", customer)
    centres = np.where(
        farms[:, None],
        _OUTSKIRTS[(place * len(_OUTSKIRTS)).astype(np.intp)],
        _DISTRICTS[(place * len(_DISTRICTS)).astype(np.intp)],
    )
    # The difference of two uniform numbers: most addresses are near the centre, and none is beyond _SCATTER.
    offsets = [
        uniform_numbers(seed, f"{axis} 1", customer) - uniform_numbers(seed, f"{axis} 2", customer)
        for axis in ("lat", "lon")
    ]
    points = np.round(centres + np.stack(offsets, axis=1) * _SCATTER, 5)
    return pd.DataFrame(
        {
            "device_id": population.device_id,
            "customer_id": [f"C{number:06d}" for number in customer],
            "building_type": [names[position] for position in population.building_type],
            "latitude": points[:, 0],
            "longitude": points[:, 1],
        }
    )


def _customers(seed: int, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The customer of each meter, as the lowest device_id of the customer's consecutive meters."""
    # A customer's meters are within one group of ten, so it is enough to start at the beginning of the first group.
    known = np.arange(ids[0] - ids[0] % _GROUP, ids[-1] + 1)
    begins = (known % _GROUP <= _HOMES) | (uniform_numbers(seed, "customer", known) >= _SAME_CUSTOMER)
    heads: NDArray[np.int64] = np.maximum.accumulate(np.where(begins, known, 0))
    return heads[-ids.size :]


def _building_types(seed: int, customer: NDArray[np.int64]) -> NDArray[np.intp]:
    """Position in BUILDING_TYPES of each customer's building, drawn with the shares of the types."""
    chance = uniform_numbers(seed, "building type", customer)
    at_home = customer % _GROUP < _HOMES
    types = np.empty(customer.size, dtype=np.intp)
    for home in (True, False):
        members = [position for position, kind in enumerate(BUILDING_TYPES.values()) if kind.home is home]
        shares = np.array([kind.share for kind in BUILDING_TYPES.values() if kind.home is home])
        limits = np.cumsum(shares / shares.sum())[:-1]
        types[at_home == home] = np.array(members)[np.searchsorted(limits, chance[at_home == home], side="right")]
    return types
