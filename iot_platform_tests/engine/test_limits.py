"""Limits as data: the most specific one holds, and the views see it at once."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client

from iot_platform.cli.limits import limits as command
from iot_platform.clickhouse.server import Endpoint
from iot_platform.devices.limits import Limit, limits, remove_limit, set_limit
from iot_platform.devices.refresh import refresh_devices
from iot_platform.errors import PlatformError


def is_valid(client: Client, device: int, kWh: float) -> bool:
    client.command("TRUNCATE TABLE l1_power_raw")
    row = f"('2026-01-01 00:00:00', {device}, {kWh})"
    client.command(f"INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) VALUES {row}")
    return bool(client.query("SELECT reject_reason = '' FROM l1_power_raw").result_rows[0][0])


def test_the_most_specific_limit_holds(schema: Client) -> None:
    assert [is_valid(schema, 1, 99.9), is_valid(schema, 1, 100)] == [True, False]
    columns = ["device_id", "customer_id", "building_type", "latitude", "longitude"]
    devices = pd.DataFrame([(1, "c", "lab", 1.0, 1.0), (2, "c", "lab", 1.0, 1.0)], columns=columns)
    refresh_devices(schema, devices, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
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
def test_limits_without_sense_are_refused(schema: Client, scope: str, key: str, max_kWh: float, message: str) -> None:
    with pytest.raises(PlatformError, match=message):
        set_limit(schema, scope, key, max_kWh)
    assert limits(schema) == []


def test_removing_what_is_not_there(schema: Client) -> None:
    set_limit(schema, "default", "", 7)
    with pytest.raises(PlatformError, match="no limit for device '9'. Limits: default"):
        remove_limit(schema, "device", "9")


def test_the_command(server: Endpoint, database: str, client: Client, tmp_path: Path) -> None:
    url = f"http://{server.username}:{server.password}@{server.host}:{server.port}"
    env = {"IOT_CLICKHOUSE_URL": url, "IOT_CLICKHOUSE_DATABASE": database, "IOT_HOME": str(tmp_path)}

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(command, arguments, env=env, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "built-in default of 100 kWh" in run("list")
    run("set", "--default", "200", "--building-type", "hospital", "5000", "--device", "7", "300")
    run("remove", "--device", "7")
    assert json.loads(run("list", "--json")) == [
        {"scope": "default", "key": "", "max_kWh": 200.0},
        {"scope": "building_type", "key": "hospital", "max_kWh": 5000.0},
    ]
    assert "hospital" in run("list")
    assert CliRunner().invoke(command, ["set"], env=env).exit_code == 2
