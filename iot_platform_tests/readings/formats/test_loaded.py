"""Files of each format, loaded and proved: equal to a computation with pandas, over both changes of the clocks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.layers.proof import prove_all
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.file_result import FileResult
from iot_platform.readings.files.loader import FileLoader

LONDON = "Europe/London"
HALF_HOUR = pd.Timedelta(minutes=30)
# Days around the changes of March and October, with the days between them left out.
DAYS = [*pd.date_range("2024-03-30", "2024-04-01"), *pd.date_range("2024-10-26", "2024-10-28")]
METERS = ("1001", "A-7")


def readings(zone: str) -> pd.DataFrame:
    """Half hours of whole local days of two meters: UTC start, local day, meter, kWh of three decimals."""
    frames = []
    for day in DAYS:
        start, end = (at.tz_localize(zone).tz_convert("UTC") for at in (day, day + pd.Timedelta(days=1)))
        times = pd.date_range(start, end, freq=HALF_HOUR, inclusive="left")
        for meter in METERS:
            frames.append(pd.DataFrame({"time": times, "day": day, "meter": meter}))
    found = pd.concat(frames, ignore_index=True)
    found["kWh"] = (found.index * 1637 % 4001 + 1) / 1000
    return found


def workbook(path: Path, found: pd.DataFrame) -> dict[str, Any]:
    """Local times are typed cells, and the repeated hour is told apart by its order."""
    local = found["time"].dt.tz_convert(LONDON).dt.tz_localize(None)
    table = pd.DataFrame({"timestamp": local, "device_id": found["meter"], "kwh": found["kWh"]})
    table["device_id"] = [int(meter) if meter.isdecimal() else meter for meter in table["device_id"]]
    with pd.ExcelWriter(path, engine="openpyxl") as writer:
        pd.DataFrame({"Report": ["of a utility"]}).to_excel(writer, sheet_name="Cover", index=False)
        table.to_excel(writer, sheet_name="Data", index=False, startrow=3)
    return {"timezone": LONDON}


def ndjson(path: Path, found: pd.DataFrame) -> dict[str, Any]:
    times = found["time"].dt.tz_convert(LONDON).map(lambda time: time.isoformat())
    rows = zip(times, found["meter"], found["kWh"], strict=True)
    lines = [json.dumps({"time": time, "meter": meter, "reading": {"kwh": kWh}}) for time, meter, kWh in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"value_column": "reading.kwh"}


def nem12(path: Path, found: pd.DataFrame) -> dict[str, Any]:
    records = ["100,NEM12,202411010000,MDA1,Ret1"]
    for meter, days in found.groupby("meter"):
        records.append(f"200,{meter},E1,1,E1,N1,S1,Wh,30,")
        for day, values in days.groupby("day"):
            texts = ",".join(f"{kWh * 1000:.0f}" for kWh in values["kWh"])
            records.append(f"300,{day:%Y%m%d},{texts},A,,,20241101000000,")
    path.write_text("\n".join([*records, "900"]) + "\n", encoding="utf-8")
    return {}


def espi(path: Path, found: pd.DataFrame) -> dict[str, Any]:
    entries = []
    for meter, values in found.groupby("meter"):
        own = f"UsagePoint/{meter}/MeterReading/1"
        links = f'<link rel="self" href="{own}"/><link rel="related" href="ReadingType/1"/>'
        entries.append(f"<entry>{links}<content><MeterReading/></content></entry>")
        for day, block in values.groupby("day"):
            rows = "".join(
                f"<IntervalReading><timePeriod><duration>1800</duration><start>{int(time.timestamp())}</start>"
                f"</timePeriod><value>{kWh * 1000:.0f}</value></IntervalReading>"
                for time, kWh in zip(block["time"], block["kWh"], strict=True)
            )
            links = f'<link rel="self" href="{own}/IntervalBlock/{day:%Y%m%d}"/>'
            entries.append(f"<entry>{links}<content><IntervalBlock>{rows}</IntervalBlock></content></entry>")
    kind = "<ReadingType><uom>72</uom><flowDirection>1</flowDirection></ReadingType>"
    entries.append(f'<entry><link rel="self" href="ReadingType/1"/><content>{kind}</content></entry>')
    path.write_text(f'<feed xmlns="http://naesb.org/espi">{"".join(entries)}</feed>', encoding="utf-8")
    return {}


def wide_days(path: Path, found: pd.DataFrame) -> dict[str, Any]:
    lines = [",".join(["meter", "date", *(f"HH{number}" for number in range(1, 51))])]
    for (meter, day), values in found.groupby(["meter", "day"]):
        texts = [f"{kWh:.3f}" for kWh in values["kWh"]]
        lines.append(",".join([str(meter), f"{day:%d/%m/%Y}", *texts, *[""] * (50 - len(texts))]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"timezone": LONDON, "unit": "kWh"}


def wide_meters(path: Path, found: pd.DataFrame) -> dict[str, Any]:
    table = found.pivot(index="time", columns="meter", values="kWh")
    table.index = pd.DatetimeIndex(table.index).tz_convert(LONDON).tz_localize(None)
    table.to_csv(path, sep=";", decimal=",")
    return {"timezone": LONDON, "wide": "meters"}


# The zone of the days of each format, the format, and the prefix of its meters.
FORMATS = [
    pytest.param(writer, zone, prefix, id=writer.__name__)
    for writer, zone, prefix in (
        (workbook, LONDON, ""),
        (ndjson, LONDON, ""),
        (nem12, "Etc/GMT-10", ""),
        (espi, LONDON, "UsagePoint/"),
        (wide_days, LONDON, ""),
        (wide_meters, LONDON, ""),
    )
]


def load(client: Client, path: Path, **options: Any) -> FileResult:
    report = path.with_suffix(".rejects.csv")
    return FileLoader(client, FileOptions(**options), batch_rows=150, rejects=lambda _: report).load(path)


@pytest.mark.parametrize(("write", "zone", "prefix"), FORMATS)
def test_l2_and_l4_are_what_pandas_computes(
    schema: Client, tmp_path: Path, write: Callable[..., dict[str, Any]], zone: str, prefix: str
) -> None:
    found = readings(zone)
    path = tmp_path / ("readings.xlsx" if write is workbook else "readings")
    options = write(path, found)
    result = load(schema, path, **options)
    assert (result.inserted, result.rejected) == (len(found), {})
    assert result.inspection is not None
    assert result.inspection.kWh == pytest.approx(found["kWh"].sum())
    assert result.inspection.interval == "30 min"
    assert all(proof.is_equal for proof in prove_all(schema))
    found["meter"] = prefix + found["meter"]
    expected = [(int(time.timestamp()), meter, kWh) for time, meter, kWh in found[["time", "meter", "kWh"]].values]
    query = """
        SELECT toUnixTimestamp(timestamp), if(meter_id = '', toString(device_id), meter_id), toFloat64(power_usage_kWh)
        FROM l2_power_cleaned LEFT JOIN device_meter_id_names USING device_id
    """
    l2 = [tuple(row) for row in schema.query(query).result_rows]
    assert sorted(l2) == sorted(expected)
    hourly = found.assign(hour=found["time"].dt.floor("h")).groupby(["hour", "meter"])["kWh"].agg(["sum", "size"])
    l4 = schema.query(
        "SELECT toUnixTimestamp(ts_hour), meter_id, total_kWh, readings FROM l4_power_agg_hourly"
    ).result_rows
    sums = {(hour, meter): (round(total, 6), count) for hour, meter, total, count in l4}
    assert sums == {
        (int(hour.timestamp()), meter): (round(total, 6), count)
        for (hour, meter), total, count in hourly.itertuples(name=None)
    }
    # A repeated load adds nothing.
    again = load(schema, path, **options)
    assert (again.inserted, again.was_complete) == (0, True)
