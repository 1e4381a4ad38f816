"""Streams of readings whose meters have names: accepted without ClickHouse, numbered when they are delivered."""

from __future__ import annotations

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.devices.meter_ids import FIRST_ASSIGNED_ID, MeterIds
from iot_platform.errors import SourceError
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.csv_lines import LineParser
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.named_readings import with_device_ids
from iot_platform.readings.outbox import Outbox
from iot_platform.readings.stream_writer import StreamWriter
from iot_platform.settings import Settings

HEADER = b"LCLid,tstp,energy(kWh/hh)"
NAMED = b"MAC000002,2013-01-01 00:00:00, 0.219 \nMAC000002,2013-01-01 00:30:00, 0.241 \n"


def meters(client: Client) -> list[tuple[str, int]]:
    rows = client.query("SELECT meter_id, count() FROM l3_power_joined GROUP BY 1 ORDER BY 1").result_rows
    return [(str(meter), int(count)) for meter, count in rows]


def parsed(lines: bytes, header: bytes = HEADER) -> pa.Table:
    readings, rejects = LineParser(header, "stream s").parse(lines)
    assert rejects == []
    return readings


def test_lines_keep_the_names_of_meters() -> None:
    readings = parsed(NAMED + b"7,2013-01-01,1\n007,2013-01-01,1\n7.0,2013-01-01,1\n")
    assert readings["meter_id"].to_pylist() == ["MAC000002", "MAC000002", None, "007", "7.0"]
    assert readings["device_id"].to_pylist() == [None, None, 7, None, None]
    assert readings["power_usage_kWh"].to_pylist() == [0.219, 0.241, 1, 1, 1]


def test_names_are_rejected_if_that_is_asked_for() -> None:
    readings, rejects = LineParser(HEADER, "stream s", FileOptions(device_ids="numeric")).parse(
        NAMED + b"7,2013-01-01,1\n7.0,2013-01-01,1\n"
    )
    assert readings["device_id"].to_pylist() == [7, None] and readings["meter_id"].to_pylist() == [None, "7.0"]
    assert [(reject.place, reject.reason) for reject in rejects] == [
        (1, "device_id_not_1_to_999999999"),
        (2, "device_id_not_1_to_999999999"),
    ]


def test_ids_in_scientific_notation_are_refused_with_their_position() -> None:
    with pytest.raises(SourceError, match=r"stream s, position 42 \(no line after position 40 was accepted\)"):
        LineParser(HEADER, "stream s").parse(b"7,2013-01-01,1\n1.2E+09,2013-01-01,1\n", 40)


def test_numbers_are_looked_up_at_delivery(schema: Client) -> None:
    schema.insert("meter_ids", [["8", 1_000_000_047]], column_names=["external_id", "device_id"])
    readings = parsed(NAMED + b"7,2013-01-01,1\n8,2013-01-01,1\n7.0,2013-01-01,1\n")
    found = with_device_ids(readings, MeterIds(schema))
    assert found.schema.names == READING_SCHEMA.names
    assert found["device_id"].to_pylist() == [1_000_000_048, 1_000_000_048, 7, 1_000_000_047, 7]
    # Readings without the column, of a simulator or an older version, are not changed.
    older = found.select(READING_SCHEMA.names)
    assert with_device_ids(older, MeterIds(schema)) is older


def test_a_stream_accepts_names_while_clickhouse_is_away(platform: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("IOT_CLICKHOUSE_URL", "http://127.0.0.1:1")
        writer = StreamWriter(Settings(), "s")
        writer.accept(parsed(NAMED))
        writer.accept(parsed(b"5,2013-01-01,1\n"))
        assert not writer.close(timeout_s=0.1)
    # What an older version has accepted has no such column.
    outbox = Outbox(Settings().root / "outbox" / "s", 1 << 20)
    outbox.append(parsed(b"6,2013-01-01,1\n").select(READING_SCHEMA.names), 1)
    outbox.close()
    with StreamWriter(Settings(), "s") as writer:
        writer.accept(parsed(b"MAC000003,2013-01-01,1\n"))
        assert writer.flush(60)
    assert meters(platform) == [("5", 1), ("6", 1), ("MAC000002", 2), ("MAC000003", 1)]
    assert min(MeterIds(platform).stored().values()) == FIRST_ASSIGNED_ID
