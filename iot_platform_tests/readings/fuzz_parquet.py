"""Parquet files of fuzzed readings, with text columns and with typed columns."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from iot_platform.readings.files.column_mapping import BAD_DEVICE_ID
from iot_platform_tests.readings.fuzz_fields import LAST_SECOND, Field
from iot_platform_tests.readings.fuzz_rows import HEADER, SHOWN_BYTES, Fields, Row, RowMaker

PER_SECOND = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}
# The year 2255: nanoseconds end in 2262.
LATE = 9_000_000_000
VALUES = (0.0, -0.0, 5e-324, 99.99999999999999, 100.0, 1e308, -1e308, -5e-324, math.nan, math.inf, -math.inf)


def write_texts(path: Path, chance: Random, count: int, now: int) -> list[Row]:
    """Write the fields of a CSV file as columns of bytes."""
    maker = RowMaker(chance, now)
    rows = [maker.row(broken=True) for _ in range(count)]
    kinds = [chance.choice((pa.binary(), pa.large_binary())) for _ in range(3)]
    columns = [pa.array([row.fields[n].written for row in rows], kind) for n, kind in enumerate(kinds)]
    return _write(path, chance, rows, columns)


def write_numbers(path: Path, chance: Random, count: int, now: int) -> list[Row]:
    """Write times, whole numbers (or floats, as columns with missing values often are) and floats."""
    maker = RowMaker(chance, now)
    unit = chance.choice(list(PER_SECOND))
    of_ids = chance.choice((pa.int64(), pa.float64()))
    rows = [_row(maker, of_ids) for _ in range(count)]
    ticks = [
        None if row.fields[0].written is None else int(row.fields[0].written) * PER_SECOND[unit]
        + (chance.randrange(PER_SECOND[unit]))
        for row in rows
    ]  # fmt: skip
    zone = chance.choice((None, "UTC", "Asia/Kolkata"))
    ids = [row.fields[1].written for row in rows]
    columns = [
        pa.array(ticks, pa.int64()).cast(pa.timestamp(unit, zone)),
        pa.array(ids, of_ids, from_pandas=False),
        pa.array([row.fields[2].written for row in rows], pa.float64(), from_pandas=False),
    ]
    return _write(path, chance, rows, columns)


def _row(maker: RowMaker, of_ids: pa.DataType) -> Row:
    if key := maker.known_key():
        value = maker.chance.uniform(0, 99)
        return maker.judged((Field(key[1], key[1]), Field(key[0], key[0]), Field(value, value)))
    return maker.of(lambda: _fields(maker, of_ids))


def _fields(maker: RowMaker, of_ids: pa.DataType) -> Fields:
    chance = maker.chance
    seconds, device = maker.seconds(), maker.device()
    value = chance.choice((chance.uniform(0, 99), chance.uniform(0, 99), chance.choice(VALUES)))
    time = Field(seconds, seconds)
    if chance.random() < 0.03:
        time = Field(chance.choice((-1, -2_000_000_000, LAST_SECOND + 1, LATE)), reason="time_out_of_range")
    meter = Field(device, device)
    if chance.random() < 0.03:
        meter = Field(0, 0)
    elif chance.random() < 0.03:
        meter = Field(chance.choice((-1, 10**9, LAST_SECOND, 2**53 - 1)), reason=BAD_DEVICE_ID)
    elif of_ids == pa.float64() and chance.random() < 0.03:
        meter = Field(chance.choice((2.5, math.nan, math.inf, -math.inf, 1e300)), reason="unreadable_device_id")
    gaps = [
        Field(None, reason=f"missing_{name}") if chance.random() < 0.01 else None
        for name in ("time", "device_id", "value")
    ]
    return gaps[0] or time, gaps[1] or meter, gaps[2] or Field(value, value)


def _write(path: Path, chance: Random, rows: list[Row], columns: list[pa.Array[Any]]) -> list[Row]:
    for place, row in enumerate(rows, start=1):
        row.place = place
        row.text = repr([each.written for each in row.fields]).encode()[:SHOWN_BYTES]
    table = pa.table(dict(zip([name.decode() for name in HEADER[:3]], columns, strict=True)))
    compressions: tuple[Literal["none", "snappy", "zstd"], ...] = ("none", "snappy", "zstd")
    compression = chance.choice(compressions)
    pq.write_table(table, path, row_group_size=chance.choice((1000, 7777, 1 << 20)), compression=compression)
    return rows
