"""Files whose numbers or times mean something unusual: they load right, or are refused with the way out."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.errors import SourceError
from iot_platform.layers.proof import prove_all
from iot_platform.readings.files.column_mapping import ColumnMapping, FileOptions
from iot_platform.readings.files.columns import Columns
from iot_platform.readings.files.file_result import FileResult
from iot_platform.readings.files.loader import FileLoader

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def write(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def half_hours(count: int, value: str, device: int = 1) -> list[str]:
    return [f"{START + dt.timedelta(minutes=30 * n):%Y-%m-%d %H:%M:%S},{device},{value}" for n in range(count)]


def load(client: Client, path: Path, *, dry_run: bool = False, **options: Any) -> FileResult:
    report = path.with_suffix(".rejects.csv")
    loader = FileLoader(client, FileOptions(**options), batch_rows=1000, rejects=lambda _: report)
    return loader.load(path, dry_run=dry_run)


def stored(client: Client) -> list[tuple[str, float]]:
    """UTC start and kWh of each reading of L1."""
    query = "SELECT formatDateTime(timestamp, '%F %R'), round(power_usage_kWh, 9) FROM l1_power_raw ORDER BY timestamp"
    return [tuple(row) for row in client.query(query).result_rows]


def total(client: Client) -> float:
    return float(client.query("SELECT round(sum(power_usage_kWh), 9) FROM l1_power_raw").result_rows[0][0])


def test_the_key_of_a_plain_file_is_as_it_was() -> None:
    mapping = ColumnMapping(Columns("time", "device_id", "kwh", "kWh"), "UTC", "numeric")
    columns = {"timestamp": "time", "device": "device_id", "value": "kwh", "unit": "kWh"}
    plain = {"columns": columns, "timezone": "UTC", "device_ids": "numeric"}
    assert mapping.key() == json.dumps(plain, sort_keys=True)


@pytest.mark.parametrize(
    ("header", "value", "kWh"),
    [
        ("Demand (kW)", "2.0", 48.0),
        ("Power (W)", "60", 1.44),
        ("Energy (MJ)", "3.6", 48.0),
        ("Energy [k Wh]", "0.25", 12.0),
        ("Energy (mWh)", "500", 0.024),
    ],
)
def test_the_unit_in_the_header(schema: Client, tmp_path: Path, header: str, value: str, kWh: float) -> None:
    path = write(tmp_path / "r.csv", f"timestamp,device_id,{header}", *half_hours(48, value))
    result = load(schema, path, value_column=header)
    assert total(schema) == pytest.approx(kWh)
    assert result.inspection is not None
    assert result.inspection.kWh == pytest.approx(kWh)
    assert (result.inspection.unit_from, result.inspection.interval) == ("column's name", "30 min")
    assert load(schema, path, value_column=header).was_complete


def test_a_column_of_units(schema: Client, tmp_path: Path) -> None:
    header = "timestamp,device_id,usage,units"
    path = write(tmp_path / "r.csv", header, *(f"{row},Wh" for row in half_hours(4, "50")))
    with pytest.raises(SourceError, match="r.csv: Column 'units' says Wh, but --unit says MWh.*--override-unit"):
        load(schema, path, unit="MWh")
    load(schema, path)
    assert total(schema) == 0.2
    mixed = write(tmp_path / "m.csv", header, "2024-01-01,1,1,Wh", "2024-01-02,1,1,kWh")
    with pytest.raises(SourceError, match=r"several units: Wh \(1 rows\), kWh \(1 rows\). Split the file"):
        load(schema, mixed)


def test_power_needs_a_constant_interval(schema: Client, tmp_path: Path) -> None:
    rows = ["2024-01-01 00:00,1,6", "2024-01-01 00:30,1,6", "2024-01-01 00:50,1,6", "2024-01-01 01:00,2,6"]
    path = write(tmp_path / "r.csv", "time,device_id,power_kw", *rows)
    with pytest.raises(SourceError, match="power becomes energy by it.*meter 1 is not constant.*--interval 30min"):
        load(schema, path)
    assert load(schema, path, interval_s=600).inserted == 4
    assert total(schema) == 4.0


def test_power_of_meters_with_different_intervals(schema: Client, tmp_path: Path) -> None:
    rows = [f"2024-01-01 0{hour}:{minute:02},1,4" for hour in range(2) for minute in (0, 15, 30, 45)]
    rows += [f"2024-01-01 0{hour}:00,2,4" for hour in range(3)]
    result = load(schema, write(tmp_path / "r.csv", "time,device_id,power_kw", *rows))
    assert total(schema) == 8 * 1.0 + 3 * 4.0
    assert result.inspection is not None
    assert result.inspection.kWh == 20.0
    assert result.inspection.interval == "15 min (1 meters), 1 h (1 meters)"


def test_times_at_the_end_of_the_interval(schema: Client, tmp_path: Path) -> None:
    rows = [f"2024-01-01 0{n // 2}:{n % 2 * 30:02}:00,321,0.{n}" for n in range(1, 5)]
    named = write(tmp_path / "named.csv", "interval_end,device_id,kwh", *rows)
    result = load(schema, named)
    assert [time for time, _ in stored(schema)] == [
        f"2024-01-01 {time}" for time in ("00:00", "00:30", "01:00", "01:30")
    ]
    assert result.inspection is not None
    assert (result.inspection.stamp, result.inspection.stamp_from) == ("end", "column's name")
    assert (result.inspection.first, result.inspection.last) == ("2024-01-01T00:00:00Z", "2024-01-01T01:30:00Z")
    plain = write(tmp_path / "plain.csv", "time,device_id,kwh", *rows)
    assert load(schema, plain).inserted == 4
    # A load with other options is another source.
    assert load(schema, plain, stamp="end").inserted == 4


def test_the_load_curve_of_enedis(schema: Client, tmp_path: Path) -> None:
    rows = ["2023-01-01T00:30:00+01:00;460;14012345678901", "2023-01-01T01:00:00+01:00;478;14012345678901"]
    path = write(tmp_path / "r.csv", "Horodate;Valeur;PRM", *rows)
    with pytest.raises(SourceError, match="'Valeur', as a load curve of Enedis, is in W, but --unit says Wh"):
        load(schema, path, unit="Wh")
    load(schema, path)
    assert stored(schema) == [("2022-12-31 23:00", 0.23), ("2022-12-31 23:30", 0.239)]


def test_compact_times(schema: Client, tmp_path: Path) -> None:
    rows = ["1801010030,316,1", "1501010100,316,1", "1301010130,316,1", "1101010200,316,1"]
    load(schema, write(tmp_path / "a.csv", "timestamp,device_id,kwh", *rows))
    assert [time for time, _ in stored(schema)][:2] == ["2011-01-01 02:00", "2013-01-01 01:30"]
    load(schema, write(tmp_path / "b.csv", "timestamp,device_id,kwh", "202401010000,315,1", "202401010030,315,1"))
    assert [time for time, _ in stored(schema)][-2:] == ["2024-01-01 00:00", "2024-01-01 00:30"]


def test_dates_with_the_day_or_the_month_first(schema: Client, tmp_path: Path) -> None:
    header = "timestamp,device_id,kwh"
    load(schema, write(tmp_path / "a.csv", header, "01.02.2024 00:00,312,1", "01.02.2024 00:15,312,2"))
    unclear = write(tmp_path / "b.csv", header, "01/03/2024 00:00,312,1")
    with pytest.raises(SourceError, match="b.csv: The dates may have the day or the month first"):
        load(schema, unclear)
    load(schema, unclear, timestamp_format="month-first")
    assert [time for time, _ in stored(schema)] == ["2024-01-03 00:00", "2024-02-01 00:00", "2024-02-01 00:15"]


def test_decimal_commas(schema: Client, tmp_path: Path) -> None:
    values = ["0,5", "1", "0,25", "2", "1,125", "3"]
    rows = [f"2024-01-01 0{n // 2}:{n % 2 * 30:02}:00;201;{value}" for n, value in enumerate(values)]
    result = load(schema, write(tmp_path / "r.csv", "timestamp;device_id;kwh", *rows))
    assert (result.rejected, total(schema)) == ({}, 7.875)


LOCAL_AUTUMN = ("00:30,1", "01:00,2", "01:30,4", "01:00,8", "01:30,16", "02:00,32")


def local_autumn(device: int) -> list[str]:
    return [f"2025-10-26 {row.replace(',', f',{device},')}" for row in LOCAL_AUTUMN]


def test_the_repeated_hour_of_autumn(schema: Client, tmp_path: Path) -> None:
    spring = ["2025-03-30 00:30,302,1", "2025-03-30 01:30,302,2", "2025-03-30 02:00,302,3"]
    path = write(tmp_path / "r.csv", "timestamp,device_id,kwh", *local_autumn(302), *spring)
    with pytest.raises(SourceError, match="seem to be local ones, such as of Europe/London.*--timezone UTC"):
        load(schema, path)
    result = load(schema, path, timezone="Europe/London")
    assert result.rejected == {"time_skipped_by_daylight_saving": 1}
    assert stored(schema)[2:] == [
        ("2025-10-25 23:30", 1.0),
        ("2025-10-26 00:00", 2.0),
        ("2025-10-26 00:30", 4.0),
        ("2025-10-26 01:00", 8.0),
        ("2025-10-26 01:30", 16.0),
        ("2025-10-26 02:00", 32.0),
    ]
    assert all(proof.is_equal for proof in prove_all(schema))
    assert load(schema, path, timezone="UTC").inserted == 9
    unnamed = write(tmp_path / "u.csv", "timestamp,device_id,kwh", *local_autumn(301))
    with pytest.raises(
        SourceError, match="Europe/London: meters have two readings of the same time from 2025-10-26 01:00"
    ):
        load(schema, unnamed)


def test_the_zone_of_the_metadata_is_asked_for(schema: Client, tmp_path: Path) -> None:
    columns = ["device_id", "customer_id", "building_type", "latitude", "longitude", "time_zone"]
    schema.insert("device_metadata", [[7, "c", "office", 52.5, 13.4, "Europe/Berlin"]], column_names=columns)
    path = write(tmp_path / "r.csv", "time,device_id,kwh", "2024-01-01 00:00,8,1", "2024-01-01 00:00,7,1")
    with pytest.raises(SourceError, match="By its metadata, meter 7 is in Europe/Berlin.*--timezone Europe/Berlin"):
        load(schema, path)
    assert load(schema, path, timezone="UTC").inserted == 2
    zoned = write(tmp_path / "z.csv", "time,device_id,kwh", "2024-01-01 00:00Z,7,1")
    assert load(schema, zoned).inserted == 1


def test_a_register(schema: Client, tmp_path: Path) -> None:
    rows = [f"{row[:-1]}{12.5 + 0.2 * n:.1f}" for n, row in enumerate(half_hours(48, "x"))]
    path = write(tmp_path / "r.csv", "timestamp,device_id,reading", *rows)
    with pytest.raises(
        SourceError, match="'reading' seems to hold the totals of a register.*--register, or --interval-v"
    ):
        load(schema, path)
    result = load(schema, path, register=True)
    assert (result.inserted, result.without_interval, result.rows_read) == (47, 1, 48)
    assert total(schema) == 9.4
    assert stored(schema)[0][0] == "2024-01-01 00:00"
    assert result.inspection is not None
    assert result.inspection.quantity == "register"
    assert result.inspection.kWh == pytest.approx(9.4)


def test_a_dry_run_inserts_nothing(schema: Client, tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", "time,device_id,kwh", *(row.replace(",1,", ",b1,") for row in half_hours(12, "1")))
    result = load(schema, path, dry_run=True)
    assert result.inspection is not None
    assert len(result.inspection.preview) == 10
    assert result.inspection.preview[0] == ("2024-01-01T00:00:00Z", "b1", 1.0)
    assert stored(schema) == []
    assert schema.query("SELECT count() FROM meter_ids").result_rows == [(0,)]
    assert load(schema, path).inserted == 12
