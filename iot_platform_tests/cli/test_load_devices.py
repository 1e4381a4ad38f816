"""Load device metadata: into the table, the views, and with the command."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client

from iot_platform.cli.load import load
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.devices import restatement
from iot_platform.devices.refresh import RefreshResult, refresh_devices
from iot_platform.devices.violations import ContractError
from iot_platform.errors import ProofError, SourceError
from iot_platform_tests.devices.metadata import read_csv

HEADER = "device_id,customer_id,building_type,latitude,longitude,valid_from\n"
NOW = dt.datetime(2026, 5, 1, 10, 40, tzinfo=dt.UTC)


def refresh(client: Client, tmp_path: Path, text: str, now: dt.datetime = NOW, **options: Any) -> RefreshResult:
    path = tmp_path / "devices.csv"
    path.write_text(HEADER + text, encoding="utf-8")
    return refresh_devices(client, read_csv(path), now, **options)


def customer_at(client: Client, device: int, time: str) -> str:
    """The customer that a reading at this time is joined with."""
    client.command("TRUNCATE TABLE l3_power_by_version")
    client.command(f"INSERT INTO l2_power_cleaned VALUES ('{time}', {device}, 1, now64(6))")
    return str(client.query("SELECT customer_id FROM l3_power_joined").result_rows[0][0])


def test_versions_reach_the_views(schema: Client, tmp_path: Path) -> None:
    result = refresh(schema, tmp_path, "1,a,office,1,2,\n2,b,lab,3,4,\n")
    assert (result.new, result.changed, result.unchanged, result.device_ids) == (2, 0, 0, "numeric")
    result = refresh(schema, tmp_path, "1,A,office,1,2,\n2,b,lab,3,4,\n")
    assert (result.new, result.changed, result.unchanged) == (0, 1, 1)
    assert result.changes["valid_from"].tolist() == [pd.Timestamp("2026-05-01 10:00", tz="UTC")]
    assert customer_at(schema, 1, "2026-05-01 09:59:59") == "a"
    assert customer_at(schema, 1, "2026-05-01 10:00:00") == "A"
    # Loading the same file twice changes nothing, and never multiplies readings.
    assert refresh(schema, tmp_path, "1,A,office,1,2,\n2,b,lab,3,4,\n").unchanged == 2
    assert schema.query("SELECT count() FROM device_metadata FINAL").result_rows == [(3,)]


def test_backdated_version(schema: Client, tmp_path: Path) -> None:
    refresh(schema, tmp_path, "1,a,office,1,2,\n")
    refresh(schema, tmp_path, "1,b,office,1,2,2026-02-01T00:00:00Z\n")
    result = refresh(schema, tmp_path, "1,ab,office,1,2,2026-01-15T00:00:00Z\n")
    assert result.changes["valid_to"].tolist() == [pd.Timestamp("2026-02-01", tz="UTC")]
    found = [customer_at(schema, 1, f"2026-0{month} 00:00:00") for month in ("1-01", "1-20", "2-01")]
    assert found == ["a", "ab", "b"]


def test_a_bad_file_changes_nothing(schema: Client, tmp_path: Path) -> None:
    refresh(schema, tmp_path, "1,a,office,1,2,\n")
    for text, error in [
        ("1,A,office,1,2,\n2,b,office,91,2,\n", ContractError),
        ("b1,A,office,1,2,\nb1,A,office,1,2,\n", ContractError),
        ("1,A,office,1,2,\n1.23E+09,A,office,1,2,\n", SourceError),
    ]:
        with pytest.raises(error):
            refresh(schema, tmp_path, text)
    assert schema.query("SELECT customer_id FROM device_metadata").result_rows == [("a",)]
    assert schema.query("SELECT count() FROM meter_ids").result_rows == [(0,)]


def test_ids_that_are_not_numbers_are_listed_with_their_line(schema: Client, tmp_path: Path) -> None:
    rows = "".join(f"{n},b,lab,1,1,\n" for n in range(1, 30))
    with pytest.raises(ContractError, match="line 31: device_id: 'b1' is not a number from 1 to 999,999,999"):
        refresh(schema, tmp_path, rows + "b1,A,office,1,2,\n", device_ids="numeric")


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


@pytest.fixture
def command(server: Endpoint, schema: Client, tmp_path: Path) -> Callable[..., Result]:
    """Run ``load devices`` with options on a file with these lines."""
    url = f"http://{server.username}:{server.password}@{server.host}:{server.port}"
    env = {"IOT_CLICKHOUSE_URL": url, "IOT_CLICKHOUSE_DATABASE": str(schema.database), "IOT_HOME": str(tmp_path)}

    def run(text: str, *options: str) -> Result:
        path = tmp_path / "devices.csv"
        path.write_text(HEADER + text, encoding="utf-8")
        return CliRunner().invoke(load, ["devices", *options, str(path)], env=env)

    return run


def test_the_command(command: Callable[..., Result]) -> None:
    assert json.loads(command("1,a,office,1,2,\n", "--json").stdout)["new"] == 1
    assert "0 new, 0 changed, 0 closed, 1 unchanged devices." in command("1,a,office,1,2,\n").stdout


def test_the_command_records_its_refreshes(schema: Client, command: Callable[..., Result], tmp_path: Path) -> None:
    """Their source is named ``file``: loading a file by hand does not make the configured source fresh."""
    before = dt.datetime.now(dt.UTC)
    assert command("1,a,office,1,2,\n2,b,office,1,2,\n", "--dry-run").exit_code == 0
    assert command("1,a,office,1,2,\n2,b,office,95,2,\n", "--dry-run").exit_code == 1
    assert schema.query("SELECT count() FROM metadata_refreshes").result_rows == [(0,)]
    assert command("1,a,office,1,2,\n2,b,office,1,2,\n").exit_code == 0
    assert command("1,A,office,1,2,\n", "--complete", "--json").exit_code == 0
    assert command("1,A,office,95,2,\n").exit_code == 1
    columns = "source, location, outcome, is_full, device_ids, rows, new, changed, closed, run_id"
    location = str(tmp_path / "devices.csv")
    assert schema.query(f"SELECT {columns} FROM metadata_refreshes ORDER BY started_at").result_rows == [
        ("file", location, "refreshed", 1, "numeric", 2, 2, 0, 0, ""),
        ("file", location, "refreshed", 1, "numeric", 1, 0, 1, 1, ""),
        ("file", location, "failed", 0, "", 0, 0, 0, 0, ""),
    ]
    [(position, problem, started_at)] = schema.query(
        "SELECT argMin(position, started_at), max(problem), min(started_at) FROM metadata_refreshes"
    ).result_rows
    text = HEADER + "1,a,office,1,2,\n2,b,office,1,2,\n"
    assert position == hashlib.sha256(text.encode()).hexdigest()
    assert "line 2: latitude: '95'" in problem and before <= started_at.replace(tzinfo=dt.UTC)


def test_the_command_restates_and_shows_the_energy(schema: Client, command: Callable[..., Result]) -> None:
    schema.command(
        "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) SELECT "
        "toDateTime('2026-01-05', 'UTC') + 3600 * number, 1 + number % 2, 1.5 FROM numbers(48)"
    )
    both = "1,a,office,1,2,\n2,b,office,1,2,\n"
    planned = command(both, "--dry-run")
    assert planned.exit_code == 0
    assert "2 new, 0 changed, 0 closed, 0 unchanged devices (dry run)." in planned.stdout
    assert "48 readings on 2 days get other metadata." in planned.stdout and "Nothing was changed." in planned.stdout
    done = command(both)
    for layer in ("l3_power_joined", "l4_power_agg_hourly", "l4_power_by_building_type_hourly"):
        assert f"{layer} 2, " in done.stdout
    assert "2 days restated; rebuilt: " in done.stdout and "l4_power_by_device_daily 2." in done.stdout
    [total] = [line.split() for line in done.stdout.splitlines() if "all customers" in line]
    assert total[2:] == ["72.000", "72.000", "+0.000"]

    left = command("1,c,office,1,2,2026-01-06\n2,b,office,1,2,\n", "--no-restate", "--complete")
    assert "customer_id: a -> c" in left.stdout and "The next refresh restates them" in left.stdout
    told = json.loads(command("1,c,office,1,2,2026-01-06\n2,d,office,1,2,2026-01-06\n", "--json").stdout)
    assert told["affected"] == [{"day": "2026-01-06", "devices": 1, "readings": 12}]
    assert [change["what"] for change in told["changes"]] == ["customer_id: b -> d"]
    # The day that was left unverified is restated as well.
    assert told["restated"]["days"] == ["2026-01-06"] and told["problem"] is None
    assert {row["customer_id"]: row["kWh_after"] for row in told["restated"]["customers"]} == {
        "a": 0,
        "b": 0,
        "c": 18,
        "d": 18,
    }


def test_the_command_fails_when_days_cannot_be_restated(
    schema: Client, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ProofError("no moment without inserts")

    schema.command("INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) VALUES ('2026-01-05', 1, 1)")
    monkeypatch.setattr(restatement, "prove_partitions", fail)
    result = command("1,a,office,1,2,\n", "--json")
    assert result.exit_code == 1 and isinstance(result.exception, ProofError)
    told = json.loads(result.stdout)
    assert told["new"] == 1 and told["restated"] is None and "only 0 of 1 days" in told["problem"]
    assert schema.query("SELECT count() FROM device_metadata").result_rows == [(1,)]


def test_a_long_list_of_changes_is_cut(command: Callable[..., Result]) -> None:
    lines = "".join(f"{n},c{n},office,1,2,\n" for n in range(1, 31))
    shown = command(lines, "--dry-run").stdout
    assert "c20" in shown and "c21" not in shown and "20 of 30 versions are shown." in shown
    assert len(json.loads(command(lines, "--dry-run", "--json").stdout)["changes"]) == 30


def test_a_file_that_is_cut_off_is_refused_by_name(command: Callable[..., Result]) -> None:
    command("".join(f"{n},c{n},office,1,2,\n" for n in range(1, 11)))
    result = command("1,c1,office,1,2,\n", "--complete")
    assert isinstance(result.exception, SourceError)
    assert "devices.csv: lists 1 devices, and 9 of the 10 known ones (90%) are missing" in str(result.exception)
