"""Random sequences of all that can happen against a model of the truth, and what such sequences have found."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.devices.refresh import refresh_devices
from iot_platform.layers.catalog import L3
from iot_platform.layers.partitions import partition_versions
from iot_platform.limits.power_limits import set_limit
from iot_platform_tests.stateful.runner import run

# Seeds and numbers of actions; one more from the environment. A failure prints the seed and the last actions.
SEQUENCES = [(1, 120)]
if seed := os.environ.get("IOT_TEST_SEED"):
    SEQUENCES.append((int(seed), 300))


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("seed", "actions"), SEQUENCES)
def test_the_platform_is_what_the_model_says(tmp_path: Path, seed: int, actions: int) -> None:
    report = run(tmp_path, seed, actions)
    assert not report.failure, report.failure
    assert report.actions.total() == actions and report.closed_days > 0 and report.rebuilt.total() > 0


def test_a_refresh_of_devices_that_all_have_limits_of_their_own(schema: Client) -> None:
    set_limit(schema, "building_type", "shop", 50)
    set_limit(schema, "device", "4", 5)
    columns = ["device_id", "customer_id", "building_type", "latitude", "longitude"]
    devices = pd.DataFrame([(4, "c", "shop", 1.0, 2.0)], columns=columns)
    assert refresh_devices(schema, devices, dt.datetime(2026, 1, 5, tzinfo=dt.UTC)).new == 1


def test_a_day_that_was_emptied_has_the_version_of_a_day_that_is_not_there(schema: Client) -> None:
    schema.command("INSERT INTO l3_power_by_version (timestamp, device_id) VALUES ('2026-01-05 00:00:00', 1)")
    assert list(partition_versions(schema, L3.table)) == ["20260105"]
    schema.command("ALTER TABLE l3_power_by_version DELETE WHERE device_id = 1", settings={"mutations_sync": 1})
    # The part without rows is still there; a proof that names it would be void as soon as ClickHouse drops it.
    assert partition_versions(schema, L3.table) == {}
