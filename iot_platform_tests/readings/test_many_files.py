"""Files of one command are written together: each reading once, whatever is killed and whoever loads them as well."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.errors import SourceError
from iot_platform.layers.proof import prove_all
from iot_platform.readings.files import file_group, loader
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.cuts import DAY_S, Stretch, cut_by_day
from iot_platform.readings.files.file_digest import FileDigest
from iot_platform.readings.files.file_result import FileResult
from iot_platform.readings.files.loader import FileLoader
from iot_platform.readings.group_commit import BatchError
from iot_platform.readings.group_writer import GroupWriter

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HOURS = 240

# The command, killed at an insert into L1.
KILLED = """
import os, signal, sys
from clickhouse_connect.driver.httpclient import HttpClient
from iot_platform.cli import main

real, (number, moment), count = HttpClient.raw_insert, sys.argv[1:3], 0

def insert(self, table, *args, **options):
    global count
    count += table == "l1_power_raw"
    is_now = table == "l1_power_raw" and count == int(number)
    if is_now and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(self, table, *args, **options)
    if is_now:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

HttpClient.raw_insert = insert
sys.argv = ["iot-platform", "load", "readings", *sys.argv[3:]]
main()
"""


def write(path: Path, rows: list[tuple[str, int, float]]) -> Path:
    """A file of readings: meter, hour and kWh."""
    lines = [f"{START + dt.timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ},{meter},{value}" for meter, hour, value in rows]
    path.write_text("\n".join(["time,meter,kwh", *lines]) + "\n", encoding="utf-8")
    return path


def kwh(meter: int, hour: int) -> float:
    """What a meter uses in an hour."""
    return (hour * 7 % 24 + meter) / 8


def meters(directory: Path, count: int) -> list[Path]:
    """A file for each meter, with ten days of readings."""
    return [
        write(directory / f"m{n}.csv", [(f"M-{n}", hour, kwh(n, hour)) for hour in range(HOURS)]) for n in range(count)
    ]


def load(client: Client, paths: list[Path], batch_rows: int = 700) -> list[FileResult | BatchError]:
    def rejects(digest: FileDigest) -> Path:
        return paths[0].parent / f"{digest.file.name}.rejects"

    outcomes = FileLoader(client, FileOptions(), batch_rows=batch_rows, rejects=rejects).load_files(paths)
    assert [path for path, _ in outcomes] == paths
    return [outcome for _, outcome in outcomes]


def start(server: Endpoint, database: str, home: Path, *arguments: object) -> subprocess.Popen[str]:
    url = f"http://{server.username}:{server.password}@{server.host}:{server.port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("IOT_")},
        "IOT_CLICKHOUSE_URL": url,
        "IOT_CLICKHOUSE_DATABASE": database,
        "IOT_HOME": str(home),
        "IOT_BATCH_ROWS": "700",
    }
    command = [sys.executable, "-c", KILLED, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def assert_loaded_once(client: Client, count: int) -> None:
    """L1 and L2 have each reading of ``meters`` once, and the ledger says so."""
    expected = (count * HOURS, sum(kwh(n, hour) for n in range(count) for hour in range(HOURS)))
    for table, where in (("l1_power_raw", ""), ("ingestion_ledger FINAL", "WHERE state = 'committed'")):
        is_ledger = bool(where)
        columns = "sum(readings), sum(total_kWh)" if is_ledger else "count(), sum(power_usage_kWh)"
        assert tuple(client.query(f"SELECT {columns} FROM {table} {where}").result_rows[0]) == expected, table
    assert client.query("SELECT uniqExact(device_id, timestamp) FROM l1_power_raw").result_rows == [(count * HOURS,)]
    assert client.query("SELECT countIf(state = 'sending') FROM ingestion_ledger FINAL").result_rows == [(0,)]
    assert client.query("SELECT DISTINCT state FROM ingestion_leases FINAL").result_rows == [("closed",)]
    locks = "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'lock_')"
    assert client.query(locks).result_rows == []


def test_a_day_of_many_files_is_written_once(schema: Client, tmp_path: Path) -> None:
    paths = meters(tmp_path, 20)
    results = [
        outcome for outcome in load(schema, [*paths[:10], paths[3], *paths[10:]]) if isinstance(outcome, FileResult)
    ]
    assert [result.was_complete for result in results] == [number == 10 for number in range(21)]
    assert sum(result.inserted for result in results) == 20 * HOURS
    # The file that comes twice makes two groups of ten: at most 700 readings, which are two days of ten meters.
    query = "SELECT max(parts) FROM (SELECT count() AS parts FROM system.parts WHERE database = currentDatabase() "
    query += "AND table = 'l1_power_raw' AND level = 0 GROUP BY partition)"
    assert schema.query(query).result_rows == [(2,)]
    assert_loaded_once(schema, 20)
    assert all(outcome.was_complete for outcome in load(schema, paths) if isinstance(outcome, FileResult))


def test_a_bad_file_among_them(schema: Client, tmp_path: Path) -> None:
    paths = meters(tmp_path, 4)
    bad = write(tmp_path / "bad.csv", [])
    bad.write_text("what,when\n1,2\n", encoding="utf-8")
    missing = tmp_path / "missing.csv"
    half = write(tmp_path / "half.csv", [("M-0", -1, 0.0)])
    half.write_text(half.read_text(encoding="utf-8") + "yesterday,M-0,1\n", encoding="utf-8")
    nothing = tmp_path / "nothing.csv"
    nothing.write_text("time,meter,kwh\nyesterday,M-0,1\n", encoding="utf-8")
    outcomes = load(schema, [paths[0], bad, paths[1], missing, half, nothing, *paths[2:]])
    errors = {number: str(outcome) for number, outcome in enumerate(outcomes) if not isinstance(outcome, FileResult)}
    assert set(errors) == {1, 3} and "bad.csv" in errors[1] and "missing.csv" in errors[3]
    found = outcomes[4], outcomes[5]
    assert isinstance(found[0], FileResult) and isinstance(found[1], FileResult)
    assert (found[0].inserted, found[0].rejected) == (1, {"unreadable_time": 1})
    assert found[1].has_no_readings
    assert schema.query("SELECT count() FROM l1_power_raw").result_rows == [(4 * HOURS + 1,)]
    sources = "SELECT count() FROM ingestion_ledger FINAL WHERE source = {source:String}"
    assert schema.query(sources, parameters={"source": found[1].source}).result_rows == [(0,)]


def test_a_load_that_is_killed_again_and_again(server: Endpoint, database: str, schema: Client, tmp_path: Path) -> None:
    paths = meters(tmp_path, 20)
    (tmp_path / "bad.csv").write_text("what,when\n1,2\n", encoding="utf-8")
    files = [*paths[:5], tmp_path / "bad.csv", *paths[5:]]
    for number, moment in ((3, "before"), (2, "after"), (1, "after")):
        killed = start(server, database, tmp_path / "home", number, moment, *files)
        assert (killed.communicate(timeout=120), killed.returncode)[1] == -signal.SIGKILL
        assert schema.query("SELECT count() > 0 FROM l1_power_raw").result_rows == [(True,)]
    # One more, whose ledger has lost some of what L1 has, and the other way round.
    schema.command(
        "ALTER TABLE ingestion_ledger DELETE WHERE description LIKE 'm7.csv%'", settings={"mutations_sync": 1}
    )
    last = start(server, database, tmp_path / "home", 0, "never", *files)
    output, errors = last.communicate(timeout=240)
    assert last.returncode == 1, errors
    assert "bad.csv: No column is recognized" in errors and "Traceback" not in errors
    assert output.count("readings inserted") == 20
    assert_loaded_once(schema, 20)
    assert all(proof.is_equal for proof in prove_all(schema))
    assert schema.query("SELECT count() FROM l2_power_cleaned").result_rows == [(20 * HOURS,)]


def test_two_processes_with_the_same_files(server: Endpoint, database: str, schema: Client, tmp_path: Path) -> None:
    paths = meters(tmp_path, 12)
    homes = tmp_path / "one", tmp_path / "other"
    running = [
        start(server, database, home, 0, "never", *files)
        for home, files in zip(homes, (paths[:9], list(reversed(paths[3:]))), strict=True)
    ]
    for process in running:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    assert_loaded_once(schema, 12)


def test_who_is_locked_out_waits_without_holding_others(
    schema: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = meters(tmp_path, 3)
    results = load(schema, paths[:1])
    assert isinstance(results[0], FileResult)
    schema.command("TRUNCATE TABLE l1_power_raw")
    schema.command("TRUNCATE TABLE ingestion_ledger")
    monkeypatch.setattr("iot_platform.readings.files.window_writer.LOCK_WAIT_S", 0.2)
    with GroupWriter(schema) as other:
        other.hold({results[0].source: "kept"})
        outcomes = load(schema, paths)
        assert isinstance(outcomes[0], Exception) and "is still held" in str(outcomes[0])
    assert schema.query("SELECT count() FROM l1_power_raw").result_rows == [(2 * HOURS,)]
    load(schema, paths)
    assert_loaded_once(schema, 3)


def test_an_unload_that_was_interrupted_keeps_only_its_file(schema: Client, tmp_path: Path) -> None:
    paths = meters(tmp_path, 3)
    [first] = load(schema, paths[:1])
    assert isinstance(first, FileResult)
    schema.command(
        "INSERT INTO ingestion_ledger SELECT * REPLACE ('unloading' AS state, now64(6) AS recorded_at) "
        "FROM (SELECT * FROM ingestion_ledger FINAL)"
    )
    outcomes = load(schema, paths)
    assert isinstance(outcomes[0], SourceError) and "unload" in str(outcomes[0])
    assert [outcome.inserted for outcome in outcomes[1:] if isinstance(outcome, FileResult)] == [HOURS, HOURS]


rows = st.tuples(st.sampled_from(["1", "2", "A"]), st.integers(0, 60), st.integers(0, 40).map(float))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contents=st.lists(st.lists(rows, min_size=1, max_size=30), min_size=1, max_size=8),
    seed=st.integers(0, 10_000),
)
def test_any_cut_into_commands_is_the_same(
    schema: Client, tmp_path_factory: pytest.TempPathFactory, contents: list[list[tuple[str, int, float]]], seed: int
) -> None:
    """The last of several readings of a meter and time counts: in the order of the files and their rows."""
    for table in ("l1_power_raw", "ingestion_ledger"):
        schema.command(f"TRUNCATE TABLE {table}")
    directory, choose = tmp_path_factory.mktemp("files"), random.Random(seed)
    paths = [write(directory / f"f{seed}-{n}.csv", [*found, (f"only-{n}", n, 1.0)]) for n, found in enumerate(contents)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_group, "MOST_FILES", choose.choice([2, 250]))
        patch.setattr(loader, "WINDOW_ROWS", choose.choice([20, 4_000_000]))
        rest = list(paths)
        while rest:
            count = choose.randint(1, len(rest))
            assert all(
                isinstance(outcome, FileResult) for outcome in load(schema, rest[:count], choose.choice([5, 700]))
            )
            rest = rest[count:]
    newest = {(meter, hour): value for found in contents for meter, hour, value in found}
    query = (
        "SELECT dictGetOrDefault('device_meter_ids', 'meter_id', toUInt64(device_id), toString(device_id)) AS meter, "
    )
    query += "toUnixTimestamp(timestamp), argMax(power_usage_kWh, ingested_at), uniqExact(ingested_at) = count() "
    query += "FROM l1_power_raw WHERE meter NOT LIKE 'only-%' GROUP BY ALL"
    found_rows = schema.query(query).result_rows
    first = int(START.timestamp())
    assert {(meter, (second - first) // 3600): value for meter, second, value, _ in found_rows} == newest
    assert all(is_ordered for *_, is_ordered in found_rows)
    total = sum(len(found) + 1 for found in contents)
    assert schema.query("SELECT count() FROM l1_power_raw").result_rows == [(total,)]


@given(
    st.lists(st.lists(st.integers(0, 20 * DAY_S), min_size=1, max_size=40).map(sorted), min_size=1, max_size=6),
    st.integers(1, 60),
)
def test_cuts_by_day(files: list[list[int]], size: int) -> None:
    stretches = [
        Stretch(n, (10 * n, 10 * n + len(found) + n % 2), np.array(found, np.int64)) for n, found in enumerate(files)
    ]
    groups = list(cut_by_day(stretches, size))
    days: Counter[int] = Counter()
    positions: dict[int, int] = {}
    for group in groups:
        touched: set[int] = set()
        readings = 0
        for owner, (start, stop) in group:
            first, found = 10 * owner, files[owner]
            assert start == positions.get(owner, first)
            positions[owner] = stop
            inside = found[start - first : stop - first]
            touched.update(second // DAY_S for second in inside)
            readings += len(inside)
        assert 0 < readings <= size
        days.update(touched)
    assert positions == {n: stretch.bounds[1] for n, stretch in enumerate(stretches)}
    counts = Counter(second // DAY_S for found in files for second in found)
    assert all(times == 1 or counts[day] > size for day, times in days.items())
