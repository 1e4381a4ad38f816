"""Options of a stream: what they do to its lines, and what a stream cannot have."""

from __future__ import annotations

import datetime as dt

import pytest

from iot_platform.errors import SourceError
from iot_platform.readings.csv_lines import LineParser
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.mapping_files import find_mapping, resolve
from iot_platform.readings.stream_options import check_stream_options

Readings = list[tuple[str, str, float]]


def read(header: str, lines: list[str], options: FileOptions) -> tuple[Readings, list[str]]:
    """Start (UTC), meter and kWh of the readings, and the reasons of the rejects."""
    readings, rejects = LineParser(header.encode(), "stream x", options).parse(
        "".join(f"{x}\n" for x in lines).encode()
    )
    found = [
        (
            f"{row['timestamp'].astimezone(dt.UTC):%m-%d %H:%M}",
            row["meter_id"] or str(row["device_id"]),
            row["power_usage_kWh"],
        )
        for row in readings.to_pylist()
    ]
    return found, [reject.reason for reject in rejects]


def test_power_at_the_end_of_intervals_in_local_times() -> None:
    options = FileOptions(
        value_column="power", unit="W", stamp="end", interval_s=1800, timezone="Europe/Berlin", decimal="comma"
    )
    found, rejects = read("time;meter;Power", ["2024-07-01 00:30;a;500,5", "2024-07-01 01:00;7;x"], options)
    assert (found, rejects) == ([("06-30 22:00", "a", 0.25025)], ["unreadable_value"])


def test_named_columns_and_a_format() -> None:
    options = FileOptions(
        timestamp_column="When",
        device_column="Zähler",
        value_column="Verbrauch",
        unit="Wh",
        timestamp_format="day-first",
    )
    found, _ = read("when,Zähler,Verbrauch,value", ["01.02.2024 10:15,a-1,250,9"], options)
    assert found == [("02-01 10:15", "a-1", 0.25)]


def test_a_mapping_file_and_an_option_it_lacks() -> None:
    options = resolve({"interval_s": 1800}, find_mapping("enedis")).options
    found, _ = read("Horodate;Valeur;PRM", ["2023-01-01T00:30:00+01:00;460;A1"], options)
    assert found == [("12-31 23:00", "A1", 0.23)]
    with pytest.raises(SourceError, match="--stamp end: set --interval, such as 30min"):
        read("Horodate;Valeur;PRM", [], resolve({}, find_mapping("enedis")).options)
    with pytest.raises(SourceError, match="'Valeur' is in W. Set --interval, such as 30min"):
        read("Horodate;Valeur;PRM", [], FileOptions())


def test_the_meter_of_the_whole_stream_and_date_and_time_in_two_columns() -> None:
    options = FileOptions(date_column="Datum", time_column="Uhrzeit", device="m-1", timestamp_format="day-first")
    found, _ = read("Datum;Uhrzeit;kWh", ["01.02.2024;00:15;0.25", "01.02.2024;00:30;0.5"], options)
    assert found == [("02-01 00:15", "m-1", 0.25), ("02-01 00:30", "m-1", 0.5)]
    with pytest.raises(SourceError, match="Choose one of --device-column"):
        read("time,meter,kwh", [], FileOptions(device="a", device_column="meter"))
    with pytest.raises(SourceError, match="--device-from-name: a stream cannot have it"):
        read("time,kwh", [], FileOptions(device_from_name="{}.csv"))


def test_a_midnight_with_the_date_of_the_day_that_it_ends() -> None:
    """However the lines arrive, and in whatever order the meters take turns."""
    options = FileOptions(date_column="date", time_column="end", stamp="end", interval_s=1800)
    days = ["2024-01-01,23:00,{},1", "2024-01-01,23:30,{},1", "2024-01-0{day},00:00,{},1"]
    for day, is_wrong in ((1, True), (2, False)):
        parser = LineParser(b"date,end,meter,kwh", "a stream", options)
        lines = [line.format(meter, day=day) + "\n" for line in days for meter in "ab"]
        for position, line in enumerate(lines[:-2]):
            parser.parse(line.encode(), position)
        if is_wrong:
            with pytest.raises(SourceError, match="position 4 .*00:00 stands at the end of its date, 2024-01-01"):
                parser.parse(lines[-2].encode(), 4)
        else:
            assert parser.parse("".join(lines[-2:]).encode(), 4)[0].num_rows == 2


def test_a_unit_column_is_only_left_out_when_that_is_said() -> None:
    with pytest.raises(SourceError, match="--override-unit, not in column 'unit'"):
        read("time,meter,usage,unit", [], FileOptions(unit="Wh"))
    found, _ = read("time,meter,usage,unit", ["2024-01-01,a,500,kWh"], FileOptions(unit="Wh", override_unit=True))
    assert found == [("01-01 00:00", "a", 0.5)]


def test_the_hour_that_clocks_repeat_is_rejected() -> None:
    lines = ["2024-10-27 02:30,a,1", "2024-10-27 03:30,a,1", "2024-03-31 02:30,a,1"]
    found, rejects = read("time,meter,kwh", lines, FileOptions(timezone="Europe/Berlin"))
    assert [time for time, _, _ in found] == ["10-27 02:30"]
    assert rejects == ["time_twice_by_daylight_saving", "time_skipped_by_daylight_saving"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (FileOptions(register=True), "--register: a stream has no totals"),
        (FileOptions(unit="kW"), "--unit kW is power: set --interval"),
        (FileOptions(stamp="end"), "--stamp end: set --interval"),
    ],
)
def test_what_a_stream_cannot_have(options: FileOptions, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        check_stream_options(options)


def test_times_that_are_dates_by_their_digits_are_refused() -> None:
    compact = [f"13010101{minute:02},a,1" for minute in range(0, 60, 5)]
    with pytest.raises(SourceError, match="such as 1301010100, which are a date by their digits"):
        read("time,meter,kwh", compact, FileOptions())
    found, _ = read("time,meter,kwh", compact, FileOptions(timestamp_format="YYMMDDhhmm"))
    assert found[-1][0] == "01-01 01:55"
    # Epoch seconds in steps of a minute: some are a date by their digits.
    epoch = [f"{1710111000 + 60 * n},a,1" for n in range(200)]
    found, rejects = read("time,meter,kwh", epoch, FileOptions())
    assert (len(found), rejects, found[0][0]) == (200, [], "03-10 22:50")
