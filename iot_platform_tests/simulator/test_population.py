"""The simulated city: plausible meters, customers and addresses."""

from __future__ import annotations

import pandas as pd
import pytest

from iot_platform.simulator.load_profiles import BUILDING_TYPES
from iot_platform.simulator.simulated_readings import Simulator

# The corners of the area of all addresses: south, west, north, east.
BOUNDING_BOX = (48.09, 11.39, 48.23, 11.70)


@pytest.fixture(scope="module")
def devices() -> pd.DataFrame:
    return Simulator(devices=5000, interval_s=60, seed=1).device_metadata()


def test_one_row_per_device(devices: pd.DataFrame) -> None:
    assert list(devices.columns) == ["device_id", "customer_id", "building_type", "latitude", "longitude"]
    assert devices.device_id.tolist() == list(range(1, 5001))
    assert not devices.isna().any().any()


def test_addresses_lie_in_the_city(devices: pd.DataFrame) -> None:
    south, west, north, east = BOUNDING_BOX
    assert devices.latitude.between(south, north).all()
    assert devices.longitude.between(west, east).all()
    assert (devices.latitude == devices.latitude.round(5)).all()
    assert len(devices[["latitude", "longitude"]].drop_duplicates()) > 0.95 * devices.customer_id.nunique()


def test_businesses_have_several_meters_at_one_address(devices: pd.DataFrame) -> None:
    customers = devices.groupby("customer_id").agg(
        meters=("device_id", "size"),
        types=("building_type", "nunique"),
        places=("latitude", "nunique"),
        kind=("building_type", "first"),
    )
    homes = customers.kind.map(lambda kind: BUILDING_TYPES[kind].home)
    assert (customers[["types", "places"]] == 1).all().all()
    assert (customers[homes].meters == 1).all()
    assert customers[~homes].meters.max() == 4
    assert 1.5 < customers[~homes].meters.mean() < 2.5


def test_every_building_type_occurs_and_homes_are_the_majority(devices: pd.DataFrame) -> None:
    shares = devices.building_type.value_counts(normalize=True)
    assert set(shares.index) == set(BUILDING_TYPES)
    assert shares["residential"] + shares["residential_solar"] == pytest.approx(0.6)


@pytest.mark.parametrize("first_device", [1, 9, 10, 18, 1239])
def test_a_device_is_the_same_in_every_simulator_of_its_seed(devices: pd.DataFrame, first_device: int) -> None:
    part = Simulator(devices=25, interval_s=900, seed=1, first_device=first_device).device_metadata()
    expected = devices[devices.device_id.between(first_device, first_device + 24)].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, expected)


def test_another_seed_is_another_city(devices: pd.DataFrame) -> None:
    other = Simulator(devices=5000, interval_s=60, seed=2).device_metadata()
    assert (other.latitude != devices.latitude).mean() > 0.99
    assert (other.building_type != devices.building_type).any()
