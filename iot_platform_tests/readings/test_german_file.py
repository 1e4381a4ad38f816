"""A German file with a preamble, over both clock changes: L2 and L4 are as an independent computation by pandas."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pandas as pd
from clickhouse_connect.driver.client import Client

from iot_platform.layers.proof import prove_all
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.loader import FileLoader

ZONE = "Europe/Berlin"
PREAMBLE = "Stromnetz Süd GmbH;;;\nKunde: Müller & Söhne;;;\n\nZeitraum;01.03.2024;31.10.2024;\n"
METERS = ["AT001 Küche", "4711"]


def write_file(path: Path) -> None:
    """Quarter hours of a week around each clock change, newest meter last, with date and time in two columns."""
    lines = [PREAMBLE + "Zählpunkt;Datum;Uhrzeit;Verbrauch [Wh]"]
    for number, meter in enumerate(METERS):
        for first in ("2024-03-28", "2024-10-24"):
            start = pd.Timestamp(first, tz=ZONE)
            for count, moment in enumerate(pd.date_range(start, periods=7 * 96, freq="15min")):
                value = f"{(count * 293_003 + number * 31) % 1_234_567 / 100:,.2f}"
                german = value.replace(",", "_").replace(".", ",").replace("_", ".")
                lines.append(f"{meter};{moment:%d.%m.%Y};{moment:%H:%M};{german}")
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode("latin-1"))


def by_pandas(path: Path) -> pd.DataFrame:
    """The readings of the file: nothing of the platform is involved."""
    frame = pd.read_csv(path, sep=";", skiprows=4, encoding="latin-1", dtype=str)
    frame.columns = pd.Index(["meter", "date", "time", "wh"])
    local = pd.to_datetime(frame["date"] + " " + frame["time"], format="%d.%m.%Y %H:%M")
    # The first of two equal local times of a meter is in summer time.
    is_first = ~frame.assign(local=local).duplicated(["meter", "local"])
    frame["utc"] = local.dt.tz_localize(ZONE, ambiguous=is_first.to_numpy()).dt.tz_convert("UTC")
    plain = frame["wh"].str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    frame["kWh"] = plain.astype(float) / 1000
    return frame


def test_l2_and_l4_are_as_pandas_computes_them(schema: Client, tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    write_file(path)
    options = FileOptions(timezone=ZONE)
    loader = FileLoader(schema, options, batch_rows=500, rejects=lambda _: tmp_path / "rejects.csv")
    result = loader.load(path)
    expected = by_pandas(path)
    assert (result.inserted, result.rejected) == (len(expected), {})
    assert result.inspection is not None
    assert (result.inspection.decimal, result.inspection.time_format) == ("comma", "day-first")
    assert all(proof.is_equal for proof in prove_all(schema))

    ids = schema.query("SELECT device_id, external_id FROM meter_ids").result_rows
    names = {device: name for device, name in ids}
    query = "SELECT device_id, toUnixTimestamp(timestamp), power_usage_kWh FROM l2_power_cleaned"
    found = {(names.get(device, str(device)), second): kWh for device, second, kWh in schema.query(query).result_rows}
    seconds = [int(moment.timestamp()) for moment in expected["utc"]]
    assert found == dict(zip(zip(expected["meter"], seconds, strict=True), expected["kWh"], strict=True))

    hourly: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for (meter, second), kWh in found.items():
        hourly[meter, second // 3600 * 3600] += Decimal(repr(kWh))
    query = "SELECT device_id, toUnixTimestamp(ts_hour), total_kWh FROM l4_power_agg_hourly"
    marts = {(names.get(device, str(device)), hour): total for device, hour, total in schema.query(query).result_rows}
    assert marts.keys() == hourly.keys()
    assert all(abs(Decimal(str(marts[key])) - total) < Decimal("1e-9") for key, total in hourly.items())
