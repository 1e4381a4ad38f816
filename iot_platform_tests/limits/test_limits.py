"""Limits stored in the database: the most specific one applies, and the views use it at once."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client

from iot_platform.cli.limits import limits as command
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.devices.refresh import refresh_devices
from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import L2, QUARANTINE
from iot_platform.layers.proof import prove_all
from iot_platform.layers.status import unverified_partitions
from iot_platform.limits.power_limits import Limit, limits, remove_limit, set_limit

DAY = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def is_valid(client: Client, device: int, kWh: float) -> bool:
    client.command("TRUNCATE TABLE l1_power_raw")
    row = f"('2026-01-01 00:00:00', {device}, {kWh})"
    client.command(f"INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) VALUES {row}")
    return bool(client.query("SELECT reject_reason = '' FROM l1_power_raw").result_rows[0][0])


def test_the_most_specific_limit_applies(schema: Client) -> None:
    assert [is_valid(schema, 1, 99.9), is_valid(schema, 1, 100)] == [True, False]
    columns = ["device_id", "customer_id", "building_type", "latitude", "longitude"]
    devices = pd.DataFrame([(1, "c", "lab", 1.0, 1.0), (2, "c", "lab", 1.0, 1.0)], columns=columns)
    refresh_devices(schema, devices, DAY)
    set_limit(schema, "default", "", 50)
    set_limit(schema, "building_type", "lab", 500)
    set_limit(schema, "device", "2", 5000)
    assert [is_valid(schema, 3, 49), is_valid(schema, 3, 50)] == [True, False]
    assert [is_valid(schema, 1, 499), is_valid(schema, 1, 500)] == [True, False]
    assert [is_valid(schema, 2, 4999), is_valid(schema, 2, 5000)] == [True, False]
    set_limit(schema, "device", "2", 6000)
    assert is_valid(schema, 2, 5000)
    expected = [Limit("default", "", 50), Limit("building_type", "lab", 500), Limit("device", "2", 6000)]
    assert limits(schema) == expected
    remove_limit(schema, "device", "2")
    assert not is_valid(schema, 2, 5000)
    assert is_valid(schema, 2, 499)


@pytest.mark.parametrize(
    ("scope", "key", "max_kWh", "message"),
    [
        ("default", "", 0, "more than 0"),
        ("default", "", float("nan"), "more than 0"),
        ("default", "x", 5, "has no key"),
        ("device", "b1", 5, "whole number"),
        ("device", "4294967296", 5, "whole number"),
        ("building_type", " ", 5, "needs the building type"),
        ("city", "", 5, "the scope is one of"),
    ],
)
def test_invalid_limits_are_refused(schema: Client, scope: Any, key: str, max_kWh: float, message: str) -> None:
    with pytest.raises(PlatformError, match=message):
        set_limit(schema, scope, key, max_kWh)
    assert limits(schema) == []


def test_removing_a_limit_that_does_not_exist(schema: Client) -> None:
    set_limit(schema, "default", "", 7)
    with pytest.raises(PlatformError, match="no limit for device '9'. Limits: default"):
        remove_limit(schema, "device", "9")


def test_a_changed_limit_invalidates_the_days_with_affected_readings(schema: Client) -> None:
    columns = ["device_id", "customer_id", "building_type", "latitude", "longitude"]
    devices = pd.DataFrame([(n, "c", kind, 1.0, 1.0) for n, kind in enumerate("aabb", start=1)], columns=columns)
    refresh_devices(schema, devices, DAY)
    # Each reading is on a separate day; device 5 has no metadata.
    rows = [
        (DAY + dt.timedelta(days=10 * device + step), device, kWh)
        for device in range(1, 6)
        for step, kWh in enumerate((10.0, 20.0, 200.0))
    ]
    schema.insert("l1_power_raw", rows, column_names=["timestamp", "device_id", "power_usage_kWh"])
    assert all(proof.is_equal for proof in prove_all(schema))

    def invalidated(touched: dict[str, int]) -> set[tuple[int, float]]:
        """Device and kWh of the readings whose day is unverified now."""
        return {(device, kWh) for time, device, kWh in rows if f"{time:%Y%m%d}" in touched}

    assert invalidated(first := set_limit(schema, "device", "1", 15)) == {(1, 20.0)}
    assert set(first) == set(unverified_partitions(schema, L2)) == set(unverified_partitions(schema, QUARANTINE))
    assert invalidated(set_limit(schema, "building_type", "a", 300)) == {(2, 200.0)}
    assert invalidated(set_limit(schema, "default", "", 20)) == {(device, 20.0) for device in (3, 4, 5)}
    assert invalidated(set_limit(schema, "device", "1", 18)) == set()
    assert invalidated(set_limit(schema, "device", "5", 250)) == {(5, 20.0), (5, 200.0)}
    assert invalidated(remove_limit(schema, "device", "1")) == {(1, 20.0), (1, 200.0)}
    assert invalidated(remove_limit(schema, "building_type", "a")) == {
        (n, kWh) for n in (1, 2) for kWh in (20.0, 200.0)
    }
    assert invalidated(remove_limit(schema, "default")) == {(device, 20.0) for device in (1, 2, 3, 4)}
    assert all(proof.is_equal for proof in prove_all(schema, only_unverified=True))
    accepted = schema.query("SELECT device_id, power_usage_kWh FROM l2_power_cleaned").result_rows
    assert set(accepted) == {(device, kWh) for device in range(1, 6) for kWh in (10.0, 20.0)} | {(5, 200.0)}


def test_the_command(server: Endpoint, database: str, client: Client, tmp_path: Path) -> None:
    url = f"http://{server.username}:{server.password}@{server.host}:{server.port}"
    env = {"IOT_CLICKHOUSE_URL": url, "IOT_CLICKHOUSE_DATABASE": database, "IOT_HOME": str(tmp_path)}

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(command, arguments, env=env, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "built-in default of 100 kWh" in run("list")
    assert (
        "Oldest timestamp: 2000-01-01 00:00:00 UTC (built in).\nLatest timestamp: 10 minutes after arrival (built in)."
        in run("list")
    )
    client.command(
        "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) VALUES "
        "('2014-05-01 00:00:00', 1, 1), ('2016-05-01 00:00:00', 1, 150), ('2016-05-02 00:00:00', 1, 350)"
    )
    told = run(
        "set", "--from", "always", "--default", "200", "--building-type", "hospital", "5000", "--device", "7", "300"
    )
    assert "Days that are unverified now, because some of their readings are affected: 1." in told
    assert "No stored reading is affected." in run("remove", "--device", "7", "--from", "always")
    assert "readings are affected: 1." in run("set", "--default", "400", "--from", "always")
    told = run("set", "--oldest", "2015-01-01", "--max-future-minutes", "30")
    assert "readings are affected: 1.\nRun `iot-platform prove`" in told
    assert json.loads(run("list", "--json")) == {
        "power": [
            {"scope": "default", "key": "", "max_kWh": 400.0, "valid_from": None, "valid_to": None},
            {"scope": "building_type", "key": "hospital", "max_kWh": 5000.0, "valid_from": None, "valid_to": None},
        ],
        "time": [
            {"name": "oldest_timestamp", "value_s": 1420070400, "is_set": True},
            {"name": "max_future", "value_s": 1800, "is_set": True},
        ],
    }
    assert "hospital" in run("list")
    assert "Oldest timestamp: 2015-01-01 00:00:00 UTC.\nLatest timestamp: 30 minutes after arrival." in run("list")
    run("remove", "--oldest", "--max-future-minutes", "--default")
    assert "Latest timestamp: 10 minutes after arrival (built in)." in run("list")
    client.insert("meter_ids", [["A-1", 1_000_000_007]], column_names=["external_id", "device_id"])
    client.command("SYSTEM RELOAD DICTIONARY device_meter_ids")
    run("set", "--device", "A-1", "7")
    query = "SELECT key FROM power_limits FINAL WHERE scope = 'device' AND max_kWh = 7 AND NOT is_removed"
    assert client.query(query).result_rows == [("1000000007",)] and "A-1" in run("list")
    run("remove", "--device", "A-1", "--from", "always")
    assert client.query(query).result_rows == []
    assert CliRunner().invoke(command, ["set", "--max-future-minutes", "1441"], env=env).exit_code == 2
    assert CliRunner().invoke(command, ["set"], env=env).exit_code == 2
