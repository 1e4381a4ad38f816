"""``iot-platform mappings``, ``load readings --mapping`` and ``--explain``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client

from iot_platform.cli import cli
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.errors import SourceError
from iot_platform.readings.mapping_files import find_mapping

ENEDIS = (
    "Horodate;Valeur;PRM\n2023-01-01T00:30:00+01:00;460;14012345678901\n2023-01-01T01:00:00+01:00;478;14012345678901\n"
)


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, list(arguments), env=env, catch_exceptions=False)


@pytest.fixture
def env(server: Endpoint, database: str, tmp_path: Path) -> dict[str, str]:
    url = f"http://{server.username}:{server.password}@{server.host}:{server.port}"
    return {"IOT_CLICKHOUSE_URL": url, "IOT_CLICKHOUSE_DATABASE": database, "IOT_HOME": str(tmp_path / "home")}


def test_mappings_are_listed_shown_and_checked(tmp_path: Path) -> None:
    assert "Load curves of Enedis" in run("mappings", "list").stdout
    listed = {mapping["name"]: mapping for mapping in json.loads(run("mappings", "list", "--json").stdout)}
    assert listed["enedis"]["options"]["stamp"] == "end"
    own = tmp_path / "own.toml"
    own.write_text(run("mappings", "show", "enedis").stdout + '\ninterval = "30min"\n', encoding="utf-8")
    checked = run("mappings", "check", str(own))
    assert checked.exit_code == 0
    assert "  stamp = 'end'\n" in checked.stdout and "  interval = 1800 s\n" in checked.stdout
    own.write_text('stamp = "middle"', encoding="utf-8")
    with pytest.raises(SourceError, match="own.toml: not a mapping file. stamp: Input should be 'start' or 'end'"):
        run("mappings", "check", str(own))


def test_explain_says_where_each_option_comes_from_and_loads_nothing(
    env: dict[str, str], client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "enedis.csv"
    file.write_text(ENEDIS, encoding="utf-8")
    arguments = ["load", "readings", "--mapping", "enedis", "--explain", "--timezone", "UTC", str(file)]
    shown = run(*arguments, env=env)
    assert shown.exit_code == 0, shown.output
    assert shown.stderr == "--timezone overrides timezone = 'Europe/Paris' of mapping enedis.\n"
    lines = {" ".join(line.split()) for line in shown.stdout.splitlines()}
    assert {
        "timestamp_column Horodate mapping enedis",
        "device_column PRM column's name",
        "unit W known format",
        "timezone UTC given",
        "interval 30 min found in the file",
        "stamp end mapping enedis",
        "decimal point found in the file",
        "register false assumed",
        "time is the end of the interval mapping enedis",
    } <= lines
    as_json = json.loads(run(*arguments, "--json", env=env).stdout)
    assert ["stamp", "end", "mapping enedis"] in as_json["explained"][str(file)]
    assert as_json["inserted"] == 0
    assert client.query("SELECT count() FROM l1_power_raw").result_rows == [(0,)]


def test_a_load_with_a_mapping(env: dict[str, str], client: Client, tmp_path: Path) -> None:
    file = tmp_path / "enedis.csv"
    file.write_text(ENEDIS, encoding="utf-8")
    loaded = run("load", "readings", "--mapping", "enedis", str(file), env=env)
    assert loaded.exit_code == 0, loaded.output
    rows = client.query("SELECT toString(timestamp), power_usage_kWh FROM l2_power_cleaned ORDER BY 1").result_rows
    assert rows == [("2022-12-31 23:00:00", 0.23), ("2022-12-31 23:30:00", 0.239)]
    # The same options without the mapping are the same source; the zone plays no part, as the times have one.
    same = ["--stamp", "end", "--timezone", "Europe/Paris"]
    assert "already loaded" in run("load", "readings", *same, str(file), env=env).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--register"], "a stream has no totals of registers"),
        (["--mapping", "home_assistant"], "a stream has no totals of registers"),
        (["--mapping", "enedis"], "--stamp end: set --interval"),
        (["--unit", "kW"], "--unit kW is power: set --interval"),
        (["--mapping", "nothing"], "There is no mapping 'nothing'"),
    ],
)
def test_bad_options_of_a_stream_are_errors_before_it_opens(
    env: dict[str, str], tmp_path: Path, options: list[str], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        run("ingest", "plant", *options, env=env)
    assert not (tmp_path / "home").exists()


def test_a_stream_with_a_mapping(env: dict[str, str], client: Client, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from iot_platform.cli import main; main()", "ingest", "plant", "--json"]
    command += ["--mapping", "enedis", "--interval", "30min"]
    lines = ENEDIS + "2023-01-01T01:30:00+01:00;many;14012345678901\n"
    result = subprocess.run(command, input=lines, env=os.environ | env, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == {"accepted": 3, "delivered": True, "rejected": 1}
    rows = client.query("SELECT toString(timestamp), power_usage_kWh FROM l2_power_cleaned ORDER BY 1").result_rows
    assert rows == [("2022-12-31 23:00:00", 0.23), ("2022-12-31 23:30:00", 0.239)]


def test_explain_names_columns_that_were_made(env: dict[str, str], client: Client, tmp_path: Path) -> None:
    file = tmp_path / "pge.csv"
    file.write_text(find_mapping("pge").example.lstrip("\n"), encoding="utf-8")
    shown = run("load", "readings", "--mapping", "pge", "--device", "home", "--explain", str(file), env=env)
    assert shown.exit_code == 0, shown.output
    lines = {" ".join(line.split()) for line in shown.stdout.splitlines()}
    assert {
        "timestamp_column DATE + START TIME given",
        "date_column DATE mapping pge",
        "device home given",
        "unit kWh unit column",
        "timezone America/Los_Angeles mapping pge",
    } <= lines
