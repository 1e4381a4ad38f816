"""Wrong loads are found and taken back on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click import Command
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client

from iot_platform.cli.layers import prove
from iot_platform.cli.load import load
from iot_platform.cli.loads import loads, unload
from iot_platform.errors import PlatformError
from iot_platform_tests.readings.test_unload import all_rows


def run(command: Command, *arguments: object, **options: Any) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False, **options)


def as_json(command: Command, *arguments: object) -> dict[str, Any]:
    done = run(command, *arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def half_hours(path: Path, device: int, header: str) -> Path:
    rows = [f"2024-07-01 {n // 2:02}:{n % 2 * 30:02}:00,{device},1.0\n" for n in range(48)]
    path.write_text(header + "\n" + "".join(rows))
    return path


def layers(client: Client) -> dict[str, list[Any]]:
    """All rows of all layers, proved, without the times at which they arrived."""
    assert run(prove).exit_code == 0
    return all_rows(client, "* EXCEPT (ingested_at)")


def energy(client: Client) -> float:
    assert run(prove).exit_code == 0
    return float(client.query("SELECT sum(total_kWh) FROM l4_power_agg_hourly").result_rows[0][0])


def test_a_load_with_the_wrong_zone(platform: Client, tmp_path: Path) -> None:
    path = half_hours(tmp_path / "zone.csv", 601, "timestamp,device_id,kwh")
    assert run(load, "readings", path, "--timezone", "Europe/London").exit_code == 0
    right = layers(platform)
    assert run(load, "readings", path).exit_code == 0
    assert len(layers(platform)["l2_power_cleaned"]) == 50
    wrong, first = as_json(loads)["loads"]
    assert (wrong["state"], wrong["readings"], wrong["meters"], wrong["last_day"]) == ("complete", 48, 1, "2024-07-01")
    assert (first["first_day"], "Europe/London" in first["description"]) == ("2024-06-30", True)

    shown = run(unload, wrong["id"], "--dry-run")
    assert "48 readings in 1 batches, 48.000 kWh, 1 meters, 1 days: 2024-07-01" in shown.stdout
    assert "46 readings of other loads, for the same meters and times, appear again" in shown.stdout
    assert len(layers(platform)["l2_power_cleaned"]) == 50
    done = as_json(unload, wrong["id"][:6], "--yes")
    assert (done["done"], done["unload"]["readings"], done["unload"]["uncovered"]) == (True, 48, 46)
    assert layers(platform) == right


def test_a_load_with_the_wrong_unit_is_loaded_again(platform: Client, tmp_path: Path) -> None:
    path = half_hours(tmp_path / "unit.csv", 602, "timestamp,device_id,value")
    columns = ("--value-column", "value")
    run(load, "readings", path, *columns)
    right = layers(platform)
    run(load, "readings", path, *columns, "--unit", "Wh")
    assert energy(platform) == pytest.approx(0.048)
    ids = [found["id"] for found in as_json(loads)["loads"]]
    # Both are taken back; the user says no once.
    assert run(unload, ids[0], input="n\n").exit_code == 1
    assert energy(platform) == pytest.approx(0.048)
    for load_id in ids:
        assert run(unload, load_id, input="y\n").exit_code == 0
    assert energy(platform) == 0
    again = run(load, "readings", path, *columns)
    assert "48 readings inserted" in again.stdout
    assert layers(platform) == right
    assert [found["state"] for found in as_json(loads, "--all")["loads"]] == ["complete", "unloaded"]
    assert "committed" in run(loads, ids[1]).stdout


def test_what_is_refused(platform: Client, tmp_path: Path) -> None:
    run(load, "readings", half_hours(tmp_path / "a.csv", 1, "timestamp,device_id,kwh"))
    [found] = as_json(loads)["loads"]
    assert run(unload, found["id"], "--json").exit_code == 2
    with pytest.raises(PlatformError, match="A file is unloaded as a whole"):
        run(unload, found["id"], "--from", 3)
    with pytest.raises(PlatformError, match="No load 'q'"):
        run(unload, "q")


def test_bad_files_do_not_keep_others_from_loading(platform: Client, tmp_path: Path) -> None:
    first, last = (half_hours(tmp_path / name, 1, "timestamp,device_id,kwh") for name in ("a.csv", "b.csv"))
    last.write_text(last.read_text().replace(",1,", ",2,"))
    long, bad, cr = tmp_path / "long.csv", tmp_path / "bad.csv", tmp_path / "cr.csv"
    long.write_text("timestamp,device_id,kwh," + "x" * 140_000 + "\n2024-01-01,1,1,\n")
    bad.write_text("timestamp,device_id,kwh\n01x02,312,1\n01x02,312,2\n")
    cr.write_bytes(b"timestamp,device_id,kwh\r2024-01-01 00:00:00,406,0.1\r2024-01-01 00:30:00,406,0.2\r")
    done = run(load, "readings", first, long, bad, cr, last)
    assert done.exit_code == 1
    assert "long.csv, line 1: the header cannot be read: field larger than field limit" in done.stderr
    assert "bad.csv: not one of its 2 rows is a reading" in done.stderr
    assert platform.query("SELECT count() FROM l1_power_raw").result_rows == [(98,)]


def test_strict_remembers(platform: Client, tmp_path: Path) -> None:
    path = half_hours(tmp_path / "a.csv", 1, "timestamp,device_id,kwh")
    path.write_text(path.read_text() + "2024-07-02,1,x\n2024-07-03,1,1")
    for _ in range(2):
        done = run(load, "readings", "--strict", path)
        assert (done.exit_code, "line 50: unreadable_value" in done.stdout) == (1, True)
        assert "The last line has no line end. It may be cut off, and was not loaded." in done.stdout
        for report in (tmp_path / "home" / "rejects").iterdir():
            report.unlink()
    assert run(load, "readings", "--accept-last-line", path).exit_code == 0
    again = run(load, "readings", "--strict", path)
    assert ("already loaded" in again.stdout, again.exit_code) == (True, 1)
    assert "line 50: unreadable_value" in again.stdout
