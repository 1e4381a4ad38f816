"""What the inspection of a file warns of; nothing of it stops a load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client

from iot_platform.cli.load import load
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.inspected import Inspection
from iot_platform.readings.files.loader import FileLoader
from iot_platform.readings.files.oddities import warnings_of_values
from iot_platform.readings.files.series import MeterSeries


def warnings(values: dict[str, list[float]], cut: int, times: list[int] | None = None) -> list[str]:
    """The warnings of half-hourly series, added in pieces of ``cut`` readings of each meter."""
    series = MeterSeries()
    count = max(map(len, values.values()))
    for start in range(0, count, cut):
        parts = {name: found[start : start + cut] for name, found in values.items() if found[start : start + cut]}
        codes = series.codes(list(parts))
        meters = np.concatenate([[code] * len(part) for code, part in zip(codes, parts.values(), strict=True)])
        seconds = [(times or range(count))[start + n] * 1800 for part in parts.values() for n in range(len(part))]
        numbers = np.array([value for part in parts.values() for value in part])
        series.add(meters.astype(np.int64), np.array(seconds, np.int64), numbers)
    totals, readings = series.column("total"), series.column("readings")
    return warnings_of_values(series.oddities, series.names, totals, readings, "kWh")


HOME = [0.1 + n * 7 % 48 / 100 for n in range(480)]


@pytest.mark.parametrize("cut", [30, 480])
def test_jumps_and_spikes_are_told(cut: int) -> None:
    assert warnings({"a": HOME, "b": [0.0] * 480}, cut) == []
    [jump] = warnings({"a": HOME, "b": HOME[:240] + [1000 * value for value in HOME[240:]]}, cut)
    assert "meter b jump about 1970-01-06T00:00:00Z" in jump
    [spike] = warnings({"a": HOME[:17] + [99.0] + HOME[17:], "b": HOME}, cut)
    assert "Meter a has 99 kWh at 1970-01-01T08:30:00Z" in spike


@pytest.mark.parametrize("cut", [30, 480])
def test_other_values_of_the_same_time_are_told(cut: int) -> None:
    times = [*range(100), 99, 99, *range(102, 480)]
    values = HOME[:100] + [HOME[99], 7.0] + HOME[102:]
    [told] = warnings({"a": values}, cut, times)
    assert "1 readings" in told and "meter a at 1970-01-03T01:30:00Z. The last one counts." in told


def inspected(client: Client, path: Path, header: str, rows: list[str], **options: Any) -> Inspection:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    result = FileLoader(client, FileOptions(**options), batch_rows=100, rejects=lambda _: path).load(path, dry_run=True)
    assert result.inspection is not None
    return result.inspection


def rows_of(meter: str, values: list[float]) -> list[str]:
    return [
        f"2024-01-{1 + n // 48:02}T{n // 2 % 24:02}:{n % 2 * 30:02}:00Z,{meter},{value}"
        for n, value in enumerate(values)
    ]


def test_a_meter_that_used_far_less_before(schema: Client, tmp_path: Path) -> None:
    header = "time,meter,kwh"
    path = tmp_path / "r.csv"
    path.write_text("\n".join([header, *rows_of("A-1", HOME), *rows_of("2", HOME)]) + "\n", encoding="utf-8")
    FileLoader(schema, FileOptions(), batch_rows=1000, rejects=lambda _: path).load(path)
    same = inspected(schema, tmp_path / "s.csv", header, rows_of("A-1", HOME[5:]))
    assert same.warnings == []
    more = inspected(schema, tmp_path / "m.csv", header, rows_of("A-1", [99.0] * 30) + rows_of("new", [50.0] * 30))
    assert len(more.warnings) == 1 and "1 of 1 meters" in more.warnings[0] and "meter A-1: 99 kWh" in more.warnings[0]
    assert schema.query("SELECT external_id FROM meter_ids FINAL").result_rows == [("A-1",)]


def test_the_falls_of_a_register(schema: Client, tmp_path: Path) -> None:
    values = [100.0 + n for n in range(20)] + [60.0 + n for n in range(20)] + [0.5, 1.5]
    found = inspected(schema, tmp_path / "r.csv", "time,meter,kwh", rows_of("A-1", values), register=True)
    [fall] = [text for text in found.warnings if "falls" in text]
    assert fall.startswith("The register falls 2 times, 1 of them neither by a reset nor by jitter")
    assert "meter A-1 at 2024-01-01T" in fall


def test_meters_are_counted_as_the_database_does(schema: Client, tmp_path: Path) -> None:
    rows = [f"2024-01-01T0{n}:00:00Z,{meter},1.5" for n, meter in enumerate(["7", "007", "8"])]
    assert inspected(schema, tmp_path / "r.csv", "time,meter,kwh", rows).meters == 3
    schema.command("INSERT INTO meter_id_rules (name, value) VALUES ('leading_zeros', 'ignored')")
    assert inspected(schema, tmp_path / "r.csv", "time,meter,kwh", rows).meters == 2


def test_the_preview_has_several_meters(schema: Client, tmp_path: Path) -> None:
    rows = [row for meter in ("a", "b", "c", "d") for row in rows_of(meter, HOME[:40])]
    found = inspected(schema, tmp_path / "r.csv", "time,meter,kwh", rows)
    assert [(meter, len([row for row in found.preview if row[1] == meter])) for meter in "abcd"] == [
        ("a", 10),
        ("b", 10),
        ("c", 10),
        ("d", 0),
    ]


def test_a_strict_dry_run_fails_for_bad_rows(server: Endpoint, database: str, client: Client, tmp_path: Path) -> None:
    url = f"http://{server.username}:{server.password}@{server.host}:{server.port}"
    env = {"IOT_CLICKHOUSE_URL": url, "IOT_CLICKHOUSE_DATABASE": database, "IOT_HOME": str(tmp_path)}
    path = tmp_path / "r.csv"
    path.write_text("time,meter,kwh\n" + "\n".join([*rows_of("a", HOME[:20]), "x,a,1"]) + "\n", encoding="utf-8")
    arguments = ["readings", "--dry-run", str(path)]
    assert CliRunner().invoke(load, arguments, env=env).exit_code == 0
    assert CliRunner().invoke(load, [*arguments, "--strict"], env=env).exit_code == 1
