"""Faults: labels describe all readings that arrive, and missing() lists all others."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from iot_platform.errors import PlatformError
from iot_platform.simulator.faults import MAX_DELAY_S, FaultRates
from iot_platform.simulator.simulated_readings import Simulator

DAY = dt.datetime(2026, 5, 4, tzinfo=dt.UTC)
NEXT_DAY = DAY + dt.timedelta(days=1)
INTERVAL_S = 300
DEVICES = 200
RATES = FaultRates(negative=0.01, nan=0.02, spike=0.03, late=0.04, duplicate=0.05, missing=0.06)
KEY = ["timestamp", "device_id"]


def everything_about_the_day(faults: FaultRates) -> pd.DataFrame:
    """All arrivals, including late ones, of readings with a timestamp on this day."""
    simulator = Simulator(DEVICES, INTERVAL_S, seed=11, faults=faults)
    last = NEXT_DAY + dt.timedelta(seconds=INTERVAL_S + MAX_DELAY_S)
    table = simulator.arrivals(DAY, last).to_pandas()
    return table[(table.timestamp >= DAY) & (table.timestamp < NEXT_DAY)].reset_index(drop=True)


@pytest.fixture(scope="module")
def faulty() -> pd.DataFrame:
    """The day's arrivals, each with the true value."""
    truth = everything_about_the_day(FaultRates.none()).rename(columns={"power_usage_kWh": "truth"})
    return everything_about_the_day(RATES).merge(truth.drop(columns="label"), on=KEY, validate="many_to_one")


def test_every_reading_arrives_once_or_is_missing_or_is_a_duplicate(faulty: pd.DataFrame) -> None:
    missing = Simulator(DEVICES, INTERVAL_S, seed=11, faults=RATES).missing(DAY, NEXT_DAY)
    first_copies = faulty[faulty.label != "duplicate"]
    arrived = set(zip(first_copies.timestamp, first_copies.device_id, strict=True))
    assert len(arrived) == len(first_copies)
    assert not arrived & set(missing)
    assert len(arrived) + len(set(missing)) == DEVICES * 86_400 // INTERVAL_S
    assert all(DAY <= timestamp < NEXT_DAY for timestamp, _ in missing)


def test_labels_describe_the_values(faulty: pd.DataFrame) -> None:
    groups = {str(label): rows for label, rows in faulty.groupby("label", observed=True)}
    for label in ("ok", "late", "duplicate"):
        assert (groups[label].power_usage_kWh == groups[label].truth).all()
    assert groups["nan"].power_usage_kWh.isna().all()
    assert (groups["negative"].power_usage_kWh == -groups["negative"].truth.clip(lower=0.0001)).all()
    assert (groups["spike"].power_usage_kWh >= 1000).all()
    assert set(groups) == {"ok", "negative", "nan", "spike", "late", "duplicate"}


def test_a_duplicate_repeats_a_good_reading(faulty: pd.DataFrame) -> None:
    pairs = faulty[faulty.label == "duplicate"].merge(faulty[faulty.label != "duplicate"], on=KEY)
    assert len(pairs) == (faulty.label == "duplicate").sum()
    assert (pairs.label_y == "ok").all()
    assert (pairs.power_usage_kWh_x == pairs.power_usage_kWh_y).all()


def test_rates_converge(faulty: pd.DataFrame) -> None:
    readings = DEVICES * 86_400 // INTERVAL_S
    counts = faulty.label.value_counts().to_dict()
    counts["missing"] = len(Simulator(DEVICES, INTERVAL_S, seed=11, faults=RATES).missing(DAY, NEXT_DAY))
    for name, rate in dataclasses.asdict(RATES).items():
        deviation = np.sqrt(readings * rate * (1 - rate))
        assert abs(counts[name] - readings * rate) < 5 * deviation, name


def test_late_readings_arrive_after_their_interval_and_within_the_limit() -> None:
    simulator = Simulator(DEVICES, INTERVAL_S, seed=11, faults=dataclasses.replace(FaultRates.none(), late=0.5))
    window_s = 600
    now = DAY + dt.timedelta(hours=12)
    table = simulator.arrivals(now, now + dt.timedelta(seconds=window_s)).to_pandas()
    late = table[table.label == "late"]
    ended = late.timestamp + pd.Timedelta(seconds=INTERVAL_S)
    assert (ended >= now - dt.timedelta(seconds=MAX_DELAY_S)).all()
    assert (ended < now + dt.timedelta(seconds=window_s)).all()
    # Some are hours late, not just minutes.
    assert (ended < now - dt.timedelta(hours=3)).any()


def test_without_faults_every_reading_arrives_on_time() -> None:
    simulator = Simulator(20, 60, seed=1, faults=FaultRates.none())
    labels = simulator.arrivals(DAY, NEXT_DAY)["label"].to_pylist()
    assert labels == ["ok"] * (20 * 1440)
    assert simulator.missing(DAY, NEXT_DAY) == []


@pytest.mark.parametrize("rates", [{"late": -0.1}, {"nan": 1.5}, {"late": 0.6, "missing": 0.6}])
def test_rates_must_be_between_0_and_1(rates: dict[str, float]) -> None:
    with pytest.raises(PlatformError, match="Fault rates"):
        FaultRates(**rates)


def test_all_readings_may_have_a_fault() -> None:
    simulator = Simulator(5, 60, seed=1, faults=dataclasses.replace(FaultRates.none(), nan=1.0))
    assert set(simulator.arrivals(DAY, NEXT_DAY)["label"].to_pylist()) == {"nan"}
