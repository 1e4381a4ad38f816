"""CSV files as utilities send them: they load right, or are refused with the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.file_result import FileResult
from iot_platform.readings.files.loader import FileLoader
from iot_platform.readings.files.raw_rows import Fact

HALF_HOURS = ["00:00", "00:30", "01:00", "01:30"]
PREAMBLE = 'Name,A CUSTOMER\nAddress,"an address"\nAccount Number,0000000001\nService,Service 1\n\n'
PGE = (
    PREAMBLE
    + "TYPE,DATE,START TIME,END TIME,USAGE,UNITS,COST,NOTES\n"
    + "".join(
        f"Electric usage,2023-01-01,{start},{end},{value},kWh,$0.05,\n"
        for start, end, value in (("00:00", "00:14", "0.13"), ("00:15", "00:29", "0.12"))
    )
)


def load(client: Client, path: Path, content: str | bytes, **options: Any) -> FileResult:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    report = path.with_suffix(".rejects.csv")
    loader = FileLoader(client, FileOptions(**options), batch_rows=1000, rejects=lambda _: report)
    return loader.load(path)


def stored(client: Client) -> list[tuple[str, str, float]]:
    """UTC start, meter and kWh of each reading of L1."""
    query = """
        SELECT formatDateTime(timestamp, '%F %R'), if(external_id = '', toString(device_id), external_id) AS meter,
            power_usage_kWh
        FROM l1_power_raw LEFT JOIN (SELECT device_id, external_id FROM meter_ids FINAL) AS ids USING (device_id)
        ORDER BY timestamp, device_id
    """
    return [tuple(row) for row in client.query(query).result_rows]


def rows_of(day: str, meter: str, delimiter: str = ",") -> str:
    return "".join(f"{day} {time}:00{delimiter}{meter}{delimiter}0.{n}\n" for n, time in enumerate(HALF_HOURS, start=1))


EXPECTED = [(f"2024-01-01 {time}", "404", n / 10) for n, time in enumerate(HALF_HOURS, start=1)]


@pytest.mark.parametrize(
    "content",
    [
        "timestamp,device_id,kwh,\n" + rows_of("2024-01-01", "404"),
        "sep=;\ntimestamp;device_id;kwh\n" + rows_of("2024-01-01", "404", ";"),
        ("timestamp,device_id,kwh\n" + rows_of("2024-01-01", "404")).replace("\n", "\r"),
        "Date,Time,device_id,kwh\n" + rows_of("2024-01-01", "404").replace("01 ", "01,"),
        ("timestamp\tdevice_id\tkwh\n" + rows_of("2024-01-01", "404", "\t")).encode("utf-16"),
    ],
    ids=["trailing comma in the header", "sep line", "CR", "date and time", "UTF-16"],
)
def test_files_in_another_dress(schema: Client, tmp_path: Path, content: str | bytes) -> None:
    result = load(schema, tmp_path / "r.csv", content)
    assert (result.rejected, stored(schema)) == ({}, EXPECTED)
    assert load(schema, tmp_path / "r.csv", content).was_complete


def test_a_german_header_in_latin_1(schema: Client, tmp_path: Path) -> None:
    content = "Zeit;Zähler;kWh\n01.01.2024 00:00;411;0,1\n".encode("latin-1")
    result = load(schema, tmp_path / "r.csv", content)
    assert stored(schema) == [("2024-01-01 00:00", "411", 0.1)]
    assert result.inspection is not None
    facts = [(fact.name, fact.taken_as) for fact in result.inspection.facts]
    assert facts == [("encoding", "Windows-1252"), ("delimiter", "semicolon")]


def test_a_header_in_another_encoding(schema: Client, tmp_path: Path) -> None:
    content = "Zużycie;Data i czas;Licznik\n1,5;2024-01-01 00:00;a\n".encode("cp1250")
    with pytest.raises(SourceError, match="'Zu¿ycie'.*is read as Windows-1252: if that is wrong, set --encoding"):
        load(schema, tmp_path / "r.csv", content)
    load(schema, tmp_path / "r.csv", content, encoding="cp1250")
    assert stored(schema) == [("2024-01-01 00:00", "a", 1.5)]


def test_ids_that_are_not_utf8(schema: Client, tmp_path: Path) -> None:
    rows = "".join(f"2024-01-0{n} 00:00,{meter},{n}\n" for n, meter in enumerate(("Küche", "Büro"), start=1))
    result = load(schema, tmp_path / "r.csv", ("time,meter,kwh\n" + rows).encode("cp1252"))
    assert result.inspection is not None
    assert result.inspection.facts[0] == Fact("encoding", "Windows-1252", "its rows, which are not UTF-8")
    assert stored(schema) == [("2024-01-01 00:00", "Küche", 1.0), ("2024-01-02 00:00", "Büro", 2.0)]
    # What a spreadsheet in French writes between thousands.
    french = "time,meter,Énergie (Wh)\n2024-01-03 00:00,c,1\xa0500\n2024-01-03 00:30,c,500\n"
    load(schema, tmp_path / "f.csv", french.replace("Énergie", "Energy").encode("cp1252"))
    assert stored(schema)[2:] == [("2024-01-03 00:00", "c", 1.5), ("2024-01-03 00:30", "c", 0.5)]
    # A damaged byte is not a letter.
    damaged = ("time,meter,kwh\n" + rows).encode("cp1252").replace(b"B\xfcro", b"4\xff4")
    assert load(schema, tmp_path / "d.csv", damaged).rejected == {"broken_encoding": 2}


def test_a_meter_for_the_whole_file(schema: Client, tmp_path: Path) -> None:
    path = tmp_path / "meter_A-7_2024.csv"
    content = "timestamp,kwh\n2024-01-01 00:00:00,0.1\n2024-01-01 00:30:00,0.2\n"
    with pytest.raises(
        SourceError, match="No column is recognized as the meter; set it with --device-column, or say wh"
    ):
        load(schema, path, content)
    with pytest.raises(SourceError, match=r"meter_A-7_2024.csv: The file's name is not like --device-from-name x_\{\}"):
        load(schema, path, content, device_from_name="x_{}.csv")
    result = load(schema, path, content, device_from_name="meter_{}_*.csv")
    assert stored(schema) == [("2024-01-01 00:00", "A-7", 0.1), ("2024-01-01 00:30", "A-7", 0.2)]
    assert "meter 'A-7 (whole file)'" in result.mapping
    # The same meter in another way is the same source; another meter is another one.
    assert load(schema, path, content, device="A-7").was_complete
    assert load(schema, path, content, device="405").inserted == 2
    with pytest.raises(SourceError, match="Choose one of --device-column, --device and --device-from-name"):
        load(schema, path, content, device="405", device_column="kwh")


def test_a_meter_for_a_file_with_several(schema: Client, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    one = "timestamp,meter,kwh\n2024-01-01 00:00,a,1\n2024-01-01 00:30,a,1\n"
    assert load(schema, path, one, device="5").inserted == 2
    with pytest.raises(
        SourceError, match=r"r.csv: Column 'meter' has several meters \(a, b\), but all rows would become"
    ):
        load(schema, path, one + "2024-01-01 01:00,b,1\n", device="5")


def test_a_file_of_pge(schema: Client, tmp_path: Path) -> None:
    result = load(schema, tmp_path / "r.csv", PGE, device="405")
    assert stored(schema) == [("2023-01-01 00:00", "405", 0.13), ("2023-01-01 00:15", "405", 0.12)]
    assert result.inspection is not None
    shown = {fact.name: (fact.taken_as, fact.known_from) for fact in result.inspection.facts}
    assert shown["header"] == ("line 6", "its names")
    assert shown["date and time"] == ("DATE + START TIME", "columns' names")
    assert shown["meter"] == ("405", "given")
    bad = load(schema, tmp_path / "bad.csv", PGE + "Electric usage,2023-01-01,00:30,00:44,x,kWh,$0.05,\n", device="406")
    assert [(reject.place, reject.reason) for reject in bad.first_rejects] == [(9, "unreadable_value")]


def test_the_date_and_the_time_of_day_are_given(schema: Client, tmp_path: Path) -> None:
    content = "a,b,device_id,kwh\n1/31/2024,12:30 AM,7,1\n1/31/2024,1:00 PM,7,2\n1/31/2024,,7,3\n"
    result = load(schema, tmp_path / "r.csv", content, date_column="a", time_column="b")
    assert stored(schema) == [("2024-01-31 00:30", "7", 1.0), ("2024-01-31 13:00", "7", 2.0)]
    assert result.rejected == {"missing_time": 1}
    # The hours of a day, numbered from 0 or from 1?
    numbered = "a,b,device_id,kwh\n1/31/2024,1,7,1\n1/31/2024,24,7,2\n"
    unread = load(schema, tmp_path / "n.csv", numbered, date_column="a", time_column="b")
    assert unread.has_no_readings
    assert unread.inspection is not None
    assert "No time can be read, such as '1/31/2024 hour 1'" in unread.inspection.warnings[0]
    with pytest.raises(SourceError, match="in two columns: set --time-column, too"):
        load(schema, tmp_path / "r.csv", content, date_column="a")
    with pytest.raises(SourceError, match="in one column .--timestamp-column. or in two"):
        load(schema, tmp_path / "r.csv", content, date_column="a", timestamp_column="b")


def test_a_column_of_times_beside_one_of_dates(schema: Client, tmp_path: Path) -> None:
    # The time column has it all: it alone is the time, as ever.
    content = "date,time,device_id,kwh\n2024-01-01,2024-01-01 00:30,7,1\n"
    result = load(schema, tmp_path / "r.csv", content)
    assert "time 'time'" in result.mapping
    assert stored(schema) == [("2024-01-01 00:30", "7", 1.0)]


def test_ends_of_intervals_in_two_columns(schema: Client, tmp_path: Path) -> None:
    header = "date,end time,device_id,kwh\n"
    rows = "".join(f"2024-01-01,{hour:02}:00,7,{hour}\n" for hour in range(1, 24))
    load(schema, tmp_path / "r.csv", header + rows + "2024-01-02,00:00,7,24\n")
    assert [stored(schema)[n] for n in (0, -1)] == [("2024-01-01 00:00", "7", 1.0), ("2024-01-01 23:00", "7", 24.0)]
    load(schema, tmp_path / "s.csv", header + (rows + "2024-01-01,24:00,7,24\n").replace(",7,", ",8,"))
    assert stored(schema)[-1] == ("2024-01-01 23:00", "8", 24.0)
    with pytest.raises(SourceError, match="line 25: 00:00 stands at the end of its date, 2024-01-01, next to 23:00"):
        load(schema, tmp_path / "t.csv", header + rows + "2024-01-01,00:00,7,24\n")


def test_times_up_to_24_00_are_ends(schema: Client, tmp_path: Path) -> None:
    content = "time,device_id,kwh\n2024-01-01 12:00,7,1\n2024-01-01 24:00,7,2\n"
    with pytest.raises(SourceError, match="go up to 24:00 and have no 00:00.*--stamp end"):
        load(schema, tmp_path / "r.csv", content)
    load(schema, tmp_path / "r.csv", content, stamp="end")
    assert stored(schema) == [("2024-01-01 00:00", "7", 1.0), ("2024-01-01 12:00", "7", 2.0)]


@pytest.mark.parametrize(("first", "header", "seems"), [(1, "time", "end"), (0, "interval_end", "start")])
def test_times_of_whole_days_show_what_they_are(
    schema: Client, tmp_path: Path, first: int, header: str, seems: str
) -> None:
    rows = "".join(f"2024-01-0{1 + n // 24} {n % 24:02}:00,7,{n % 5}\n" for n in range(first, first + 48))
    result = load(schema, tmp_path / "r.csv", f"{header},device_id,kwh\n{rows}")
    assert result.inspection is not None
    assert f"as the {seems}s of whole days do: see --stamp" in result.inspection.warnings[0]


def test_dates_without_a_time_of_day(schema: Client, tmp_path: Path) -> None:
    load(schema, tmp_path / "r.csv", "Datum;Zähler;Verbrauch\n01.02.2024;7;1,5\n02.02.2024;7;2,5\n")
    assert stored(schema) == [("2024-02-01 00:00", "7", 1.5), ("2024-02-02 00:00", "7", 2.5)]
    hours = "".join(f"01.02.2024;7;{hour},5\n" for hour in range(24))
    with pytest.raises(SourceError, match="'Datum' has dates, and most of them occur several times for a meter"):
        load(schema, tmp_path / "s.csv", "Datum;Zähler;Verbrauch\n" + hours)


def test_a_file_without_a_readable_time(schema: Client, tmp_path: Path) -> None:
    result = load(schema, tmp_path / "r.csv", "time,device_id,kwh\n01.02.24 00:15,7,1\n")
    assert result.inspection is not None
    assert "No time can be read, such as '01.02.24 00:15': see --timestamp-format" in result.inspection.warnings[0]
    assert result.has_no_readings
    load(schema, tmp_path / "r.csv", "time,device_id,kwh\n01.02.24 00:15,7,1\n", timestamp_format="%d.%m.%y %H:%M")
    assert stored(schema) == [("2024-02-01 00:15", "7", 1.0)]
