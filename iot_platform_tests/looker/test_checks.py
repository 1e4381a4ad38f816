"""The checks of the LookML find damage, and the command line shows their findings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client

from iot_platform.cli import cli
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.looker import checks
from iot_platform.looker.project import load_project
from iot_platform.settings import Settings
from iot_platform_tests.looker.lookml_readings import NOW, PROJECT, YEAR, fill


def test_the_checks_pass_on_correct_data(marts: Client) -> None:
    assert checks.find_failing_queries(marts, PROJECT, NOW) == []
    assert checks.find_failing_queries(marts, PROJECT, NOW, explain=True) == []
    assert checks.find_cut_tiles(marts, PROJECT, NOW) == []
    assert checks.find_differing_totals(marts, PROJECT, NOW) == []
    assert checks.find_column_problems(marts, PROJECT) == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(Settings().looker_dir, tmp_path / "looker"))


def test_a_wrong_column_is_found(marts: Client, copy: Path) -> None:
    view = copy / "views/power_usage.view.lkml"
    view.write_text(view.read_text().replace("${TABLE}.max_kWh", "${TABLE}.highest_kWh"))
    project = load_project(copy)
    (ran, tile) = checks.find_failing_queries(marts, project, NOW)
    assert (ran.name, tile.name) == ("power_usage.peak_kwh", "peak")
    assert "highest_kWh" in ran.what and ran.where.endswith("measure peak_kwh")
    found = {finding.name: finding.what for finding in checks.find_column_problems(marts, project)}
    assert found["power_usage.peak_kwh"].startswith("reads highest_kWh, which l4_power_by_building_type_hourly lacks")
    assert found["l4_power_by_building_type_hourly.max_kWh"] == "is read by no field"


def test_a_field_of_the_wrong_table_is_found(marts: Client, copy: Path) -> None:
    view = copy / "views/power_usage.view.lkml"
    view.write_text(view.read_text().replace(" or power_usage.customers._in_query", ""))
    found = {(each.name, each.what) for each in checks.find_column_problems(marts, load_project(copy))}
    assert (
        "power_usage.customers",
        "reads customer_id, which l4_power_by_building_type_hourly lacks (customers)",
    ) in found


def test_a_tile_over_its_limit_is_found(marts: Client, copy: Path) -> None:
    dashboard = copy / "dashboards/power_overview.dashboard.lookml"
    text = dashboard.read_text().replace("default_value: 30 day", f"default_value: {YEAR}")
    dashboard.write_text(text.replace("limit: 5000", "limit: 3"))
    found = {each.name: each.what for each in checks.find_cut_tiles(marts, load_project(copy), NOW)}
    assert found == {"usage_over_time": "has 432 rows, but its limit is 3", "map": "has 6 rows, but its limit is 3"}


def test_a_new_column_a_missing_table_and_other_totals_are_found(schema: Client) -> None:
    fill(schema)
    schema.command("ALTER TABLE l4_power_daily_by_version ADD COLUMN voltage Float64")
    schema.command("ALTER TABLE device_metadata ADD COLUMN supplier String")
    (supplier, voltage) = checks.find_column_problems(schema, PROJECT)
    assert (supplier.name, voltage.name) == ("device_metadata.supplier", "l4_power_daily_by_version.voltage")
    schema.command("ALTER TABLE l4_power_daily_by_version DROP COLUMN voltage")
    schema.command("ALTER TABLE device_metadata DROP COLUMN supplier")
    # A billionth of a kWh in one mart.
    schema.command(
        "INSERT INTO l4_power_daily_by_version (ts_hour, device_id, total_kWh) VALUES ('2025-03-30', 1, 0.000000001)"
    )
    found = checks.find_differing_totals(schema, PROJECT, NOW)
    assert {each.name for each in found} == {
        f"power_usage.{name}" for name in ("device_id", "meter_id", "customer_id", "location", "place")
    }
    assert all("in l4_power_by_device_daily, all together" in each.what for each in found)
    schema.command("DROP TABLE l4_power_by_device_daily SYNC")
    (missing,) = checks.find_column_problems(schema, PROJECT)
    assert (missing.name, missing.what) == ("l4_power_by_device_daily", "is missing in ClickHouse")


def test_the_command_line(marts: Client, server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login = f"{quote(server.username, safe='')}:{quote(server.password, safe='')}"
    monkeypatch.setenv("IOT_CLICKHOUSE_URL", server.url.replace("://", f"://{login}@"))
    monkeypatch.setenv("IOT_CLICKHOUSE_DATABASE", str(marts.database))

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli, ["lookml", *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    report = json.loads(run("check", "--json"))
    assert report["findings"] == [] and report["checked"] > 60
    assert "no findings" in run("check", "--no-clickhouse")
    assert "no findings" in run("check", "--run")
    sql = run("sql", "map", "--filter", "period", "2025", "--filter", "power_usage.device_id", "1")
    assert marts.query(sql).result_rows
    assert "count(DISTINCT" in run("sql", "--field", "power_usage.devices", "--filter", "power_usage.time_date", "2025")
    run("dictionary", "--output", str(tmp_path / "dictionary.md"))
    assert (tmp_path / "dictionary.md").read_text() == Path("docs/field-dictionary.md").read_text()
