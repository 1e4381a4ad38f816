"""Load files of readings into the layers."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
import random
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iot_platform.cli.load import load
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.readings.files import csv_rows, loader
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.file_result import FileResult
from iot_platform.readings.files.loader import FileLoader
from iot_platform.settings import PACKAGE_DIR

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
CAMBRIDGE = PACKAGE_DIR.parent.parent / "shared" / "data" / "cambridge_2019_2021_hourly.parquet"


def load_file(client: Client, path: Path, batch_rows: int = 1000, **options: Any) -> FileResult:
    report = path.with_suffix(".rejects.csv")
    return FileLoader(client, FileOptions(**options), batch_rows=batch_rows, rejects=lambda _: report).load(path)


def stored(client: Client) -> list[tuple[int, int, float]]:
    query = "SELECT toUnixTimestamp(timestamp), device_id, power_usage_kWh FROM l1_power_raw ORDER BY ALL"
    return [tuple(row) for row in client.query(query).result_rows]


def write(path: Path, rows: list[str], header: str = "time,device_id,kwh") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_file_reaches_all_layers_once(schema: Client, tmp_path: Path) -> None:
    rows = [
        f"{START + dt.timedelta(minutes=n):%Y-%m-%d %H:%M},{1 + n % 2},{-1 if n == 5 else n / 8}" for n in range(60)
    ]
    path = write(tmp_path / "r.csv", rows)
    result = load_file(schema, path)
    assert (result.rows_read, result.inserted, result.already_loaded, result.rejected) == (60, 60, 0, {})
    assert len(stored(schema)) == 60
    assert schema.query("SELECT sum(readings) FROM l4_power_agg_hourly").result_rows == [(59,)]
    again = load_file(schema, path, batch_rows=7)
    assert (again.was_complete, again.inserted, again.already_loaded) == (True, 0, 60)
    assert len(stored(schema)) == 60


def test_bad_rows_are_reported_and_the_rest_is_loaded(schema: Client, tmp_path: Path) -> None:
    rows = [
        "2026-01-01 00:00,1,1",
        "yesterday,1,1",
        '"2026-01-01 01:00","1",2',
        "",
        "2026-01-01 02:00,1",
        "2026-01-01 03:00,1,nan",
        "2026-01-01 04:00,0,4",
        "2026-01-01 05:00,4000000000,5",
        ",1,6",
        "2026-01-01 06:00,1,six",
    ]
    path = write(tmp_path / "r.csv", rows)
    result = load_file(schema, path, device_ids="numeric")
    assert result.rejected == {
        "unreadable_time": 1,
        "wrong_column_count": 1,
        "device_id_not_1_to_999999999": 1,
        "missing_time": 1,
        "unreadable_value": 1,
    }
    assert (result.rows_read, result.inserted) == (9, 4)
    report = list(csv.reader((tmp_path / "r.rejects.csv").open(encoding="utf-8")))
    assert report[0] == ["line", "reason", "text"]
    assert [int(line) for line, _, _ in report[1:]] == [3, 6, 9, 10, 11]
    assert report[1] == ["3", "unreadable_time", "yesterday,1,1"]
    query = "SELECT reject_reason FROM power_quarantine ORDER BY 1"
    assert schema.query(query).result_rows == [("no_device",), ("not_a_number",)]


def test_an_interrupted_load_continues_with_any_batch_size(
    schema: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "WINDOW_ROWS", 40)
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 600)
    # Sorted by meter, with bad rows: windows sort by time, and positions must still mean the same rows.
    rows = [
        f"{START + dt.timedelta(minutes=minute):%Y-%m-%dT%H:%MZ},{meter},{'bad' if minute == 7 else minute}"
        for meter in range(1, 7)
        for minute in range(20)
    ]
    path = write(tmp_path / "r.csv", rows)
    real, calls = schema.raw_insert, []

    def breaks(table: str, *args: Any, **kwargs: Any) -> Any:
        result = real(table, *args, **kwargs)
        # The ledger is written in the same way.
        if table == "l1_power_raw":
            calls.append(kwargs)
        if len(calls) == 3:
            raise DatabaseError("connection lost for good", code=60)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(schema, "raw_insert", breaks)
        with pytest.raises(DatabaseError):
            load_file(schema, path, batch_rows=15)
    assert 0 < len(stored(schema)) < 114
    result = load_file(schema, path, batch_rows=11)
    assert (result.rows_read, result.inserted + result.already_loaded) == (120, 114)
    assert result.rejected == {"unreadable_value": 6}
    expected = [(int(START.timestamp()) + 60 * m, d, float(m)) for m in range(20) for d in range(1, 7) if m != 7]
    assert stored(schema) == sorted(expected)


def test_external_ids_are_numbered_once(schema: Client, tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", ["2026-01-01,b0,1", "2026-01-01,b1,2", "2026-01-02,b0,3", "2026-01-02,,3"])
    load_file(schema, first)
    load_file(schema, write(tmp_path / "b.csv", ["2026-01-03,b2,1", "2026-01-03,b0,2"]))
    ids = {
        key: device for key, device in schema.query("SELECT external_id, device_id FROM meter_ids FINAL").result_rows
    }
    assert sorted(ids.values()) == [1_000_000_001, 1_000_000_002, 1_000_000_003]
    assert [device for _, device, _ in stored(schema)].count(ids["b0"]) == 3


def test_parquet_rows(schema: Client, tmp_path: Path) -> None:
    times = [START, None, START + dt.timedelta(hours=1)]
    table = pa.table({"ts": pa.array(times, pa.timestamp("ms", "UTC")), "meter": [5, 6, None], "wh": [1500, 1, 2]})
    pq.write_table(table, tmp_path / "r.parquet")
    data = (tmp_path / "r.parquet").read_bytes()
    (tmp_path / "r.parquet.zst").write_bytes(pa.compress(data, "zstd", asbytes=True))
    for name in ("r.parquet", "r.parquet.zst"):
        result = load_file(schema, tmp_path / name)
        assert (result.inserted, result.rejected) == (1, {"missing_time": 1, "missing_device_id": 1})
        assert [reject.place for reject in result.first_rejects] == [2, 3]
    assert stored(schema) == [(int(START.timestamp()), 5, 1.5)] * 2


def test_another_unit_is_another_source(schema: Client, tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", ["2026-01-01,1,1500"])
    load_file(schema, path, unit="kWh")
    assert load_file(schema, path, unit="Wh", override_unit=True).inserted == 1
    assert [value for _, _, value in stored(schema)] == [1.5, 1500.0]


def run(server: Endpoint, database: str, home: Path, *arguments: str) -> Result:
    url = f"http://{server.username}:{server.password}@{server.host}:{server.port}"
    env = {"IOT_CLICKHOUSE_URL": url, "IOT_CLICKHOUSE_DATABASE": database, "IOT_HOME": str(home)}
    return CliRunner().invoke(load, arguments, env=env, catch_exceptions=False)


def test_the_command(server: Endpoint, database: str, client: Client, tmp_path: Path) -> None:
    good = write(tmp_path / "good.csv", ["2026-01-01,1,1", "2026-01-01,2,oops"])
    damaged = write(tmp_path / "damaged.csv", ["1,2"], header="when,what")
    result = run(server, database, tmp_path, "readings", "--json", str(damaged), str(good))
    summary = json.loads(result.stdout)
    assert result.exit_code == 1
    assert "damaged.csv: No column is recognized as the energy; set it with --value-column" in result.stderr
    assert (summary["rows_read"], summary["inserted"]) == (2, 1)
    assert summary["rejected"] == {"unreadable_value": 1}
    assert summary["peak_memory_bytes"] > 0
    report = Path(summary["files"][0]["rejects_file"])
    assert report.parent == tmp_path / "rejects"
    assert "oops" in report.read_text(encoding="utf-8")

    again = run(server, database, tmp_path, "readings", str(good))
    assert (again.exit_code, "already loaded" in again.stdout) == (0, True)
    other = write(tmp_path / "other.csv", ["2026-01-01,1,x"])
    strict = run(server, database, tmp_path, "readings", "--strict", str(other))
    assert strict.exit_code == 1
    assert "line 2: unreadable_value: '2026-01-01,1,x'" in strict.stdout
    assert run(server, database, tmp_path, "readings", "--timezone", "Mars", str(good)).exit_code == 2


reading = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(0, 999_999_999),
    st.floats(allow_nan=True, allow_infinity=True),
)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(reading, min_size=1, max_size=30), seed=st.integers(0, 1000))
def test_any_readings_can_be_loaded_from_a_csv(
    schema: Client, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, float]], seed: int
) -> None:
    for table in ("l1_power_raw", "power_quarantine", "ingestion_ledger"):
        schema.command(f"TRUNCATE TABLE {table}")
    choose = random.Random(seed)
    path = tmp_path_factory.mktemp("csv") / "r.csv"
    buffer = io.StringIO()
    quoting: Literal[0, 1] = choose.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
    ending = choose.choice(["\n", "\r\n"])
    writer = csv.writer(buffer, delimiter=choose.choice(",;\t"), quoting=quoting, lineterminator=ending)
    # The seed makes each file a different source; the extra column contains line ends.
    writer.writerow(["note", "timestamp", "device_id", "energy", f"x{seed}{hash(tuple(map(repr, rows)))}"])
    for seconds, device, energy in rows:
        time = dt.datetime.fromtimestamp(seconds, dt.UTC)
        local = time.astimezone(dt.timezone(dt.timedelta(hours=choose.randint(-11, 11))))
        shown = [time.strftime("%Y-%m-%d %H:%M:%S"), time.isoformat(), local.isoformat(" ")]
        writer.writerow([choose.choice(["", "a\nb", 'q"q']), choose.choice(shown), device, repr(energy), ""])
    path.write_text(buffer.getvalue(), encoding="utf-8", newline="")
    result = load_file(schema, path, batch_rows=choose.randint(5, 40), device_ids="numeric")
    assert (result.inserted, result.rejected) == (len(rows), {})
    assert sorted(map(repr, stored(schema))) == sorted(map(repr, rows))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.one_of(
            st.binary(max_size=12),
            st.tuples(
                st.sampled_from([b"2026-01-01", b"1767225600", b"x", b"", b"2026-02-30"]),
                st.sampled_from([b"1", b"0", b"b", b"", b"\xff"]),
                st.sampled_from([b"1", b"nan", b"-inf", b"1e308", b"-0.0", b"", b"1,5", b'"2"', b'"']),
            ).map(b",".join),
        ),
        max_size=40,
    )
)
def test_each_row_is_a_reading_or_a_reject(
    schema: Client, tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    schema.command("TRUNCATE TABLE l1_power_raw")
    schema.command("TRUNCATE TABLE ingestion_ledger")
    path = tmp_path_factory.mktemp("csv") / "r.csv"
    unique = schema.query("SELECT toString(generateUUIDv4())").result_rows[0][0]
    path.write_bytes(f"time,device_id,kwh,{unique}\n".encode() + b"".join(line + b",\n" for line in lines))
    result = load_file(schema, path, device_ids="numeric")
    assert result.inserted + sum(result.rejected.values()) == result.rows_read
    assert len(stored(schema)) == result.inserted
    places = [reject.place for reject in result.first_rejects]
    assert places == sorted(places)


@pytest.mark.skipif(not CAMBRIDGE.exists(), reason="the Cambridge readings are not there")
def test_real_readings(schema: Client, tmp_path: Path) -> None:
    # Four weeks of all buildings, sorted by building as in the original.
    table = pq.read_table(CAMBRIDGE)
    start = pa.scalar(dt.datetime(2020, 2, 1), pa.timestamp("us"))
    end = pa.scalar(dt.datetime(2020, 2, 29), pa.timestamp("us"))
    chosen = pc.and_(pc.greater_equal(table["ts_start"], start), pc.less(table["ts_start"], end))
    table = table.filter(chosen)
    pq.write_table(table, tmp_path / "c.parquet")
    result = load_file(schema, tmp_path / "c.parquet", batch_rows=30_000)
    assert result.inserted == result.rows_read == table.num_rows > 50_000
    over = schema.query("SELECT count() FROM power_quarantine WHERE reject_reason = 'over_limit'").result_rows[0][0]
    assert over == table.filter(pc.greater_equal(table["kwh"], pa.scalar(100.0))).num_rows
    query = "SELECT sum(total_kWh), sum(readings) FROM l4_power_agg_hourly"
    [(kWh, count)] = schema.query(query).result_rows
    accepted = table["kwh"].filter(pc.less(table["kwh"], pa.scalar(100.0)))
    assert count == len(accepted) == table.num_rows - over
    assert math.isclose(kWh, pc.sum(accepted).as_py(), rel_tol=1e-9)
    # Sorted by time within the window: at most two of the batches touch a day.
    parts = schema.query(
        "SELECT max(parts) FROM (SELECT count() AS parts FROM system.parts WHERE database = currentDatabase() "
        "AND table = 'l1_power_raw' AND level = 0 GROUP BY partition)"
    ).result_rows
    assert parts[0][0] <= 2
    assert load_file(schema, tmp_path / "c.parquet").inserted == 0
