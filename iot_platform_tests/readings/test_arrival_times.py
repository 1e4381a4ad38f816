"""Arrival times and the order of a batch: the same rows as in the order of the source, whatever their order."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from iot_platform.readings.arrival_times import INGESTED_AT, missing_rows, with_arrival_times
from iot_platform.readings.contract import READING_SCHEMA

ARRIVED = dt.datetime(2026, 1, 5, 12, 0, 0, 123_456, tzinfo=dt.UTC)
START = 1_767_225_600

Row = tuple[int, int, float]
ROWS = st.lists(
    st.tuples(st.integers(START, START + 2), st.sampled_from([1, 2, 2**32 - 1]), st.floats(allow_nan=False)),
    max_size=30,
)


def table(rows: list[Row]) -> pa.Table:
    times, devices, values = zip(*rows, strict=True) if rows else ((), (), ())
    columns = [pa.array(times, pa.int64()).cast(pa.timestamp("s", "UTC")), pa.array(devices), pa.array(values)]
    return pa.Table.from_arrays(
        [column.cast(field.type) for column, field in zip(columns, READING_SCHEMA, strict=True)], schema=READING_SCHEMA
    )


@given(ROWS)
def test_the_rows_are_those_of_the_source_and_sorted(rows: list[Row]) -> None:
    sent = with_arrival_times(table(rows).append_column("place", pa.array(range(len(rows)), pa.int64())), ARRIVED)
    # What the platform has always sent: repetitions of a key are counted in the order of the source.
    seen: dict[tuple[int, int], int] = defaultdict(int)
    wanted = []
    for place, (second, device, value) in enumerate(rows):
        wanted.append((second, device, value, place, ARRIVED + dt.timedelta(microseconds=seen[second, device])))
        seen[second, device] += 1
    found = [
        (round(row["timestamp"].timestamp()), row["device_id"], row["power_usage_kWh"], row["place"], row[INGESTED_AT])
        for row in sent.to_pylist()
    ]
    assert found == sorted(wanted, key=lambda row: (row[1], row[0]))  # sorted() is stable


@given(ROWS, st.data())
def test_missing_rows_do_not_depend_on_the_order(rows: list[Row], data: st.DataObject) -> None:
    sent = with_arrival_times(table(rows), ARRIVED)
    # An older version sent the rows in the order of the source; some of them arrived.
    order = data.draw(st.permutations(range(len(rows))))
    arrived = order[: data.draw(st.integers(0, len(rows)))]
    missing = missing_rows(sent, sent.take(pa.array(arrived, pa.int64())))
    as_counter = Counter(map(str, sent.to_pylist())) - Counter(str(sent.to_pylist()[n]) for n in arrived)
    assert Counter(map(str, missing.to_pylist())) == as_counter
