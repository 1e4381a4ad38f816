"""Ids of meters as utilities and spreadsheets write them: in files of readings and of metadata."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.devices.meter_ids import FIRST_ASSIGNED_ID, MeterIds
from iot_platform.errors import SourceError
from iot_platform.readings.files import csv_rows, loader
from iot_platform.readings.files.column_mapping import ColumnMapping, FileOptions
from iot_platform.readings.files.columns import Columns
from iot_platform.readings.ledger import Ledger
from iot_platform.readings.loads import find_load
from iot_platform.readings.unload import Selection, unload
from iot_platform_tests.cli.test_load_readings import load_file, run, stored, write

# The key of such a file in versions without a rule for all ids.
OLD_KEY = (
    '{"columns": {"device": "meter", "timestamp": "time", "unit": "kWh", "value": "kwh"}, "device_ids": "%s", '
    '"timezone": "UTC"}'
)


def meters(client: Client) -> dict[str, list[float]]:
    """The readings of each meter, by its own id."""
    rows = client.query(
        "SELECT meter_id, arraySort(groupArray(power_usage_kWh)) FROM l3_power_joined GROUP BY meter_id"
    ).result_rows
    return {str(meter): list(values) for meter, values in rows}


def file_of(path: Path, *ids: str) -> Path:
    """A file with a reading of each meter: of 1 kWh at hour 0, of 2 kWh at hour 1 ..."""
    rows = [f"2024-01-01 {hour:02}:00,{meter},{hour + 1}" for hour, meter in enumerate(ids)]
    return write(path, rows, "time,meter,kwh")


def old_home(client: Client) -> None:
    client.command("INSERT INTO meter_id_rules (name, value, set_at) VALUES ('leading_zeros', 'ignored', 1)")


def test_ids_in_scientific_notation_are_refused(schema: Client, tmp_path: Path) -> None:
    path = file_of(tmp_path / "r.csv", "1", "2", "1.20006E+12", "1.20006E+12")
    with pytest.raises(SourceError, match=r"r\.csv, line 4: the meter id '1.20006E\+12' is a number in scientific"):
        load_file(schema, path)
    assert stored(schema) == [] and schema.query("SELECT count() FROM meter_ids").result_rows == [(0,)]


def test_nothing_of_a_file_with_such_an_id_is_loaded(
    schema: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "WINDOW_ROWS", 2)
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 60)
    path = file_of(tmp_path / "r.csv", "1", "2", "3", "4", "5", "6", "7", "1.23E+09")
    with pytest.raises(SourceError, match=r"r\.csv, line 9: the meter id '1.23E\+09'"):
        load_file(schema, path)
    assert stored(schema) == []
    ids = pa.array(["1", "2", "1.23E+09"]).dictionary_encode()
    columns: dict[str, Any] = {"time": ["2024-01-01", "2024-01-02", "2024-01-03"], "meter": ids, "kwh": [1.0, 2.0, 3.0]}
    pq.write_table(pa.table(columns), tmp_path / "r.parquet")
    with pytest.raises(SourceError, match=r"r\.parquet, row 3: the meter id"):
        load_file(schema, tmp_path / "r.parquet")


@pytest.mark.parametrize("device_ids", ["auto", "numeric", "external"])
def test_a_column_of_numbers_with_a_gap(schema: Client, tmp_path: Path, device_ids: str) -> None:
    result = load_file(schema, file_of(tmp_path / "r.csv", "101.0", "", "102.0", "101"), device_ids=device_ids)
    assert result.rejected == {"missing_device_id": 1}
    assert meters(schema) == {"101": [1.0, 4.0], "102": [3.0]}


def test_leading_zeros_make_another_meter(schema: Client, tmp_path: Path) -> None:
    ids = [*map(str, range(1000, 1023)), "0001005"]
    load_file(schema, file_of(tmp_path / "r.csv", *ids))
    assert meters(schema)["1005"] == [6.0] and meters(schema)["0001005"] == [24.0]


def test_a_meter_is_one_meter_in_any_file(schema: Client, tmp_path: Path) -> None:
    names = [f"MTR-{number:03}" for number in range(19)]
    load_file(schema, file_of(tmp_path / "alone.csv", "12345"))
    load_file(schema, file_of(tmp_path / "among.csv", *names, "12345"))
    load_file(schema, file_of(tmp_path / "mixed.csv", "x", "y", "12345"), device_ids="external")
    assert meters(schema)["12345"] == [1.0, 3.0, 20.0]
    assert {device for _, device, _ in stored(schema) if device < FIRST_ASSIGNED_ID} == {12345}


def test_numeric_rejects_names(schema: Client, tmp_path: Path) -> None:
    result = load_file(schema, file_of(tmp_path / "r.csv", "5", "b1", "007", "1000000000"), device_ids="numeric")
    assert result.rejected == {"device_id_not_1_to_999999999": 3}
    assert "names are rejected" in result.mapping
    assert schema.query("SELECT count() FROM meter_ids").result_rows == [(0,)]


@pytest.mark.parametrize("kind", [pa.decimal128(18, 0), pa.decimal256(50, 2), pa.int64(), pa.float64(), pa.string()])
def test_ids_in_parquet(schema: Client, tmp_path: Path, kind: pa.DataType) -> None:
    whole = ["516", "1200060000001", None]
    ids = pa.array(whole if kind == pa.string() else [None if text is None else Decimal(text) for text in whole])
    columns: dict[str, Any] = {
        "time": ["2024-01-01", "2024-01-02", "2024-01-03"],
        "meter": ids.cast(kind),
        "kwh": [1.0, 2.0, 3.0],
    }
    pq.write_table(pa.table(columns), tmp_path / "r.parquet")
    result = load_file(schema, tmp_path / "r.parquet")
    assert result.rejected == {"missing_device_id": 1}
    assert meters(schema) == {"516": [1.0], "1200060000001": [2.0]}


def test_the_command_says_that_leading_zeros_were_ignored(
    server: Endpoint, schema: Client, database: str, tmp_path: Path
) -> None:
    old_home(schema)
    path = file_of(tmp_path / "r.csv", "0001005", "1005")
    shown = run(server, database, tmp_path, "readings", str(path))
    assert "Leading zeros of 1 meter ids were ignored (such as '0001005')" in shown.stdout
    assert meters(schema) == {"1005": [1.0, 2.0]}
    devices = write(
        tmp_path / "d.csv", ["0001005,c,office,1,2"], "device_id,customer_id,building_type,latitude,longitude"
    )
    shown = run(server, database, tmp_path, "devices", str(devices))
    assert "Leading zeros of 1 meter ids" in shown.stdout
    notes = json.loads(run(server, database, tmp_path, "devices", "--json", str(devices)).stdout)["notes"]
    assert "Leading zeros" in notes[0]


@pytest.mark.parametrize("ids", [("1", "2", "3"), ("a", "b"), ("007", "008")])
def test_a_file_that_was_loaded_before_is_recognised(schema: Client, tmp_path: Path, ids: tuple[str, ...]) -> None:
    path = file_of(tmp_path / "r.csv", *ids)
    older_load(schema, path, "numeric" if ids == ("1", "2", "3") else "external")
    before = stored(schema)
    assert before
    old_home(schema)
    result = load_file(schema, path)
    assert (result.was_complete, stored(schema)) == (True, before)


def older_load(client: Client, path: Path, kind: str, **options: Any) -> None:
    """Load a file like a version without a rule for all ids, which has read its ids as ``kind``."""
    mapping = ColumnMapping(Columns("time", "meter", "kwh", "kWh"), "UTC", "auto")
    assert mapping.key() != OLD_KEY % kind
    with pytest.MonkeyPatch.context() as patch:
        # As if the ledger knew it by its old name.
        patch.setattr(MeterIds, "is_older_than_the_rule", True)
        patch.setattr(Ledger, "is_known", lambda ledger: True)
        loaded = load_file(client, path, **options)
    assert loaded.source.endswith(source_of(OLD_KEY % kind))


def source_of(key: str) -> str:
    """The end of the name of a source."""
    return ":" + hashlib.sha256(f"{loader.SCHEME}/{key}".encode()).hexdigest()[:8]


def test_an_interrupted_load_of_an_older_version_is_finished_by_its_rule(
    schema: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positions count the rows that are readings, so that names must be rejected in the rest of the file, too."""
    ids = [str(number) for number in range(1, 20)]
    path = file_of(tmp_path / "r.csv", "b1", *ids, "0020")
    real, calls = schema.raw_insert, []

    def breaks(table: str, *args: Any, **kwargs: Any) -> Any:
        if table == "l1_power_raw":
            calls.append(table)
            if len(calls) > 1:
                raise DatabaseError("connection lost for good", code=60)
        return real(table, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(schema, "raw_insert", breaks)
        with pytest.raises(DatabaseError):
            older_load(schema, path, "numeric", batch_rows=7)
    assert len(stored(schema)) == 7
    old_home(schema)
    result = load_file(schema, path)
    assert (result.inserted, result.already_loaded) == (13, 7)
    assert result.rejected == {"device_id_not_1_to_999999999": 1}
    assert [device for _, device, _ in stored(schema)] == [*range(1, 21)]


def test_after_an_unload_the_rule_for_all_ids_holds(schema: Client, tmp_path: Path) -> None:
    path = file_of(tmp_path / "r.csv", *map(str, range(1, 20)), "b1")
    older_load(schema, path, "numeric")
    assert len(stored(schema)) == 19
    old_home(schema)
    load = find_load(schema, load_file(schema, path).source)
    unload(schema, load, Selection(load.source))
    result = load_file(schema, path)
    assert (result.inserted, result.rejected) == (20, {})
    assert meters(schema)["b1"] == [20.0]


def test_the_interval_of_a_meter_whose_id_is_written_in_two_ways(schema: Client, tmp_path: Path) -> None:
    rows = [f"2024-01-01 0{hour}:{minute:02},{'7.0' if minute else '7'},4" for hour in range(2) for minute in (0, 30)]
    rows += [f"2024-01-01 0{hour}:00,b1,4" for hour in range(2)]
    result = load_file(schema, write(tmp_path / "r.csv", rows, "time,meter,power_kw"))
    assert meters(schema) == {"7": [2.0] * 4, "b1": [4.0] * 2}
    assert result.inspection is not None
    assert (result.inspection.meters, result.inspection.kWh) == (2, 16.0)


def test_the_zone_of_a_meter_with_a_name(schema: Client, tmp_path: Path) -> None:
    [named] = MeterIds(schema).device_ids(pa.array(["0001005"])).to_pylist()
    columns = ["device_id", "customer_id", "building_type", "latitude", "longitude", "time_zone"]
    zones = [
        [named, "c", "office", 52.5, 13.4, "Europe/Berlin"],
        [1006, "c", "office", 40.7, -74.0, "America/New_York"],
    ]
    schema.insert("device_metadata", zones, column_names=columns)
    with pytest.raises(SourceError, match="By its metadata, meter 0001005 is in Europe/Berlin"):
        load_file(schema, file_of(tmp_path / "r.csv", "0001005", "0001006"))
    # Another meter than 1006.
    assert load_file(schema, file_of(tmp_path / "s.csv", "0001006")).inserted == 1


def test_what_options_are_the_same_source() -> None:
    columns = Columns("time", "meter", "kwh", "kWh")
    keys = {kind: ColumnMapping(columns, "UTC", kind).key() for kind in ("auto", "numeric", "external")}
    assert keys["auto"] == keys["external"] != keys["numeric"]
    assert FileOptions().device_ids == "auto"
    older = ColumnMapping(columns, "UTC", "external", by_older_rule=True)
    assert older.key() == OLD_KEY % "external"
