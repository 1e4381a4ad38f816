"""Device metadata on its way into the table and the views."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client

from iot_platform.cli.load import load
from iot_platform.clickhouse.server import Endpoint
from iot_platform.devices.contract import ContractError, read_devices
from iot_platform.devices.refresh import RefreshResult, refresh_devices
from iot_platform.errors import SourceError

HEADER = "device_id,customer_id,building_type,latitude,longitude,valid_from\n"
NOW = dt.datetime(2026, 5, 1, 10, 40, tzinfo=dt.UTC)


def refresh(client: Client, tmp_path: Path, text: str, now: dt.datetime = NOW) -> RefreshResult:
    path = tmp_path / "devices.csv"
    path.write_text(HEADER + text, encoding="utf-8")
    return refresh_devices(client, read_devices(path), now)


def customer_at(client: Client, device: int, time: str) -> str:
    """What the join of a reading at this time finds."""
    client.command("TRUNCATE TABLE l3_power_joined")
    client.command(f"INSERT INTO l2_power_cleaned VALUES ('{time}', {device}, 1, now64(6))")
    return str(client.query("SELECT customer_id FROM l3_power_joined").result_rows[0][0])


def test_versions_reach_the_views(schema: Client, tmp_path: Path) -> None:
    result = refresh(schema, tmp_path, "1,a,office,1,2,\n2,b,lab,3,4,\n")
    assert (result.new, result.changed, result.unchanged, result.device_ids) == (2, 0, 0, "numeric")
    result = refresh(schema, tmp_path, "1,A,office,1,2,\n2,b,lab,3,4,\n")
    assert (result.new, result.changed, result.unchanged) == (0, 1, 1)
    assert result.affected["valid_from"].tolist() == [pd.Timestamp("2026-05-01 10:00", tz="UTC")]
    assert customer_at(schema, 1, "2026-05-01 09:59:59") == "a"
    assert customer_at(schema, 1, "2026-05-01 10:00:00") == "A"
    # Twice the same is nothing new, and can never multiply readings.
    assert refresh(schema, tmp_path, "1,A,office,1,2,\n2,b,lab,3,4,\n").unchanged == 2
    assert schema.query("SELECT count() FROM device_metadata FINAL").result_rows == [(3,)]


def test_backdated_version(schema: Client, tmp_path: Path) -> None:
    refresh(schema, tmp_path, "1,a,office,1,2,\n")
    refresh(schema, tmp_path, "1,b,office,1,2,2026-02-01T00:00:00Z\n")
    result = refresh(schema, tmp_path, "1,ab,office,1,2,2026-01-15T00:00:00Z\n")
    assert result.affected["valid_to"].tolist() == [pd.Timestamp("2026-02-01", tz="UTC")]
    found = [customer_at(schema, 1, f"2026-0{month} 00:00:00") for month in ("1-01", "1-20", "2-01")]
    assert found == ["a", "ab", "b"]


def test_a_bad_file_changes_nothing(schema: Client, tmp_path: Path) -> None:
    refresh(schema, tmp_path, "1,a,office,1,2,\n")
    for text, error in [
        ("1,A,office,1,2,\n2,b,office,91,2,\n", ContractError),
        ("".join(f"{n},b,lab,1,1,\n" for n in range(1, 30)) + "b1,A,office,1,2,\n", ContractError),
        ("1,A,office,1,2,\nb1,A,office,1,2,\n", SourceError),
    ]:
        with pytest.raises(error):
            refresh(schema, tmp_path, text)
    assert schema.query("SELECT customer_id FROM device_metadata").result_rows == [("a",)]
    assert schema.query("SELECT count() FROM meter_ids").result_rows == [(0,)]


def test_numeric_ids_that_are_no_numbers_are_listed_with_their_line(schema: Client, tmp_path: Path) -> None:
    rows = "".join(f"{n},b,lab,1,1,\n" for n in range(1, 30))
    with pytest.raises(ContractError, match="line 31: device_id: 'b1' is not a number from 1 to 999,999,999"):
        refresh(schema, tmp_path, rows + "b1,A,office,1,2,\n")


def test_external_ids_share_the_numbers_of_readings(schema: Client, tmp_path: Path) -> None:
    schema.insert("meter_ids", [["b7", 1_000_000_005]], column_names=["external_id", "device_id"])
    result = refresh(schema, tmp_path, "b7,a,office,1,2,\nb8,b,office,1,2,\n")
    assert result.device_ids == "external"
    query = "SELECT device_id, customer_id FROM device_metadata ORDER BY 1"
    assert schema.query(query).result_rows == [(1_000_000_005, "a"), (1_000_000_006, "b")]


def test_a_refresh_is_one_block(schema: Client, tmp_path: Path) -> None:
    refresh(schema, tmp_path, "".join(f"{n},c{n},office,1,2,\n" for n in range(1, 3001)))
    query = "SELECT count(), sum(rows) FROM system.parts WHERE database = currentDatabase() AND active "
    assert schema.query(query + "AND table = 'device_metadata'").result_rows == [(1, 3000)]


def test_the_command(server: Endpoint, database: str, client: Client, tmp_path: Path) -> None:
    url = f"http://{server.username}:{server.password}@{server.host}:{server.port}"
    env = {"IOT_CLICKHOUSE_URL": url, "IOT_CLICKHOUSE_DATABASE": database, "IOT_HOME": str(tmp_path)}
    path = tmp_path / "devices.csv"
    path.write_text(HEADER + "1,a,office,1,2,\n", encoding="utf-8")
    result = CliRunner().invoke(load, ["devices", "--json", str(path)], env=env, catch_exceptions=False)
    assert json.loads(result.stdout)["new"] == 1
    again = CliRunner().invoke(load, ["devices", str(path)], env=env, catch_exceptions=False)
    assert "0 new, 0 changed, 1 unchanged devices" in again.stdout
