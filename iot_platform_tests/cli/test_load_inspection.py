"""``iot-platform load readings`` shows what a file is taken for, and ``--dry-run`` stops there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client

from iot_platform.cli.load import load
from iot_platform.clickhouse.endpoint import Endpoint

ROWS = [f"2024-01-01 {n // 2:02}:{n % 2 * 30:02},b1,{2 + n % 3}" for n in range(12)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "r.csv"
    path.write_text("\n".join(["time,device_id,Demand (kW)", *ROWS, "x,b1,1"]) + "\n", encoding="utf-8")
    return path


def run(server: Endpoint, database: str, home: Path, *arguments: str) -> Result:
    url = f"http://{server.username}:{server.password}@{server.host}:{server.port}"
    env = {"IOT_CLICKHOUSE_URL": url, "IOT_CLICKHOUSE_DATABASE": database, "IOT_HOME": str(home)}
    named = ["readings", "--value-column", "Demand (kW)", *arguments]
    return CliRunner().invoke(load, named, env=env, catch_exceptions=False)


def test_a_dry_run_shows_what_a_load_would_take(
    server: Endpoint, database: str, client: Client, tmp_path: Path, file: Path
) -> None:
    shown = run(server, database, tmp_path, "--dry-run", str(file))
    assert shown.exit_code == 0
    lines = {" ".join(line.split()) for line in shown.stdout.splitlines()}
    expected = {"quantity power", "unit kW column's name", "time zone UTC assumed", "interval 30 min found"}
    expected |= {"time is the start of the interval assumed", "first reading 2024-01-01T00:00:00Z", "kWh 18.000"}
    expected |= {"rows 13 12 readable", "2024-01-01T00:30:00Z b1 1.5", "Note: 1 rows are not readings."}
    assert expected <= lines
    result = json.loads(run(server, database, tmp_path, "--dry-run", "--json", str(file)).stdout)
    inspection = result["files"][0]["inspection"]
    assert (inspection["kWh"], inspection["interval"], len(inspection["preview"])) == (18.0, "30 min", 10)
    assert result["inserted"] == 0
    loaded = run(server, database, tmp_path, str(file))
    assert loaded.stdout.index("column's name") < loaded.stdout.index("12 readings inserted")


def test_options_that_cannot_be_right(server: Endpoint, database: str, tmp_path: Path, file: Path) -> None:
    assert "not an interval" in run(server, database, tmp_path, "--interval", "often", str(file)).stderr
    refused = run(server, database, tmp_path, "--unit", "kWh", str(file))
    assert (refused.exit_code, "--override-unit" in refused.stderr) == (1, True)
