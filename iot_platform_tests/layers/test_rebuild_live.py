"""A day is rebuilt while a writer inserts into it at full speed: the result is exact, and the writer hardly waits."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import connect
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.write_pause import wait_while_paused
from iot_platform.layers.catalog import BY_DEVICE_HOURLY, DERIVED_LAYERS, L2, L3, RAW_TABLE
from iot_platform.layers.comparison import Proof
from iot_platform.layers.proof import prove_all
from iot_platform.layers.status import unverified_partitions
from iot_platform.layers.summary import summarize
from iot_platform.readings import exactly_once
from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.prepared_batch import Batch
from iot_platform.settings import Settings

DAY_S = 1_767_225_600
PARTITION = "20260101"
BATCH_ROWS = 5_000
REBUILDS = 20
# One kind of damage after another, so that every layer is rebuilt while its source is being written to.
DAMAGES = [
    "ALTER TABLE l2_power_cleaned DELETE WHERE device_id % 3 = 0",
    "ALTER TABLE l3_power_by_version DROP PARTITION ID '20260101'",
    "INSERT INTO l4_power_hourly_by_version SELECT * FROM l4_power_hourly_by_version LIMIT 100",
    "SELECT 1",  # no damage: the duplicates alone need a rebuild
]


def random_readings(random: np.random.Generator, rows: int) -> pa.Table:
    """Readings of one day; there are so few keys that about one in ten readings is a duplicate."""
    seconds = DAY_S + random.integers(0, 1440, rows) * 60
    columns: list[pa.Array[Any]] = [
        pa.array(seconds).cast(pa.timestamp("s", "UTC")),
        pa.array(random.integers(1, 2000, rows), pa.uint32()),
        pa.array(random.integers(0, 64, rows) / 8),
    ]
    return pa.Table.from_arrays(columns, schema=READING_SCHEMA)


class LiveWriter(threading.Thread):
    """Inserts until ``stop`` is called."""

    def __init__(self, server: Endpoint, database: str) -> None:
        super().__init__()
        self.client = connect(server, Settings(), database=database)
        self.stop = threading.Event()
        self.rows = 0
        self.longest_wait_s = 0.0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with closing(self.client):
                self._write()
        except BaseException as error:
            self.error = error
            raise

    def _write(self) -> None:
        writer, random = BatchWriter(self.client, "live"), np.random.default_rng(1)
        with writer.exclusive():
            while not self.stop.is_set():
                readings = random_readings(random, BATCH_ROWS)
                self.rows += writer.write(Batch(self.rows, self.rows + BATCH_ROWS, readings))


@pytest.fixture
def live(server: Endpoint, database: str, schema: Client, monkeypatch: pytest.MonkeyPatch) -> LiveWriter:
    writer = LiveWriter(server, database)
    wait = wait_while_paused

    def measured(client: Client) -> float:
        waited_s = wait(client)
        writer.longest_wait_s = max(writer.longest_wait_s, waited_s)
        return waited_s

    monkeypatch.setattr(exactly_once, "wait_while_paused", measured)
    return writer


@pytest.mark.timeout(900)
def test_rebuilds_while_a_writer_inserts(schema: Client, live: LiveWriter) -> None:
    live.start()
    proofs: list[Proof] = []
    try:
        while live.rows < 20 * BATCH_ROWS and live.error is None:
            time.sleep(0.05)
        number = 0
        while sum(proof.was_rebuilt for proof in proofs) < REBUILDS or number < 2 * len(DAMAGES):
            schema.command(DAMAGES[number % len(DAMAGES)], settings={"mutations_sync": 1})
            proofs += prove_all(schema, [PARTITION])
            number += 1
            assert number < 10 * REBUILDS
    finally:
        live.stop.set()
        live.join()
    assert live.error is None
    assert {proof.layer for proof in proofs if proof.was_rebuilt} >= {L2.name, L3.name, BY_DEVICE_HOURLY.name}
    assert any(proof.arrived_rows for proof in proofs)  # else the test was too easy
    # 0.6 s by design, and one look more (goal: less than 1 s, measured 0.21 s). The bound only tells a wait from a
    # deadlock: a busy machine must not fail it.
    assert live.longest_wait_s < 10

    # Prove what arrived since; then everything is exact.
    list(prove_all(schema, only_unverified=True))
    assert [unverified_partitions(schema, layer) for layer in DERIVED_LAYERS] == [[]] * len(DERIVED_LAYERS)
    assert [proof.difference() for proof in prove_all(schema) if proof.difference()] == []
    summary = summarize(schema)
    assert summary.conserved and summary.proved
    assert summary.layers[RAW_TABLE].rows == live.rows
    [(keys,)] = schema.query(f"SELECT uniqExact(device_id, timestamp) FROM {RAW_TABLE}").result_rows
    assert summary.layers[L2.name].rows == keys


def test_a_rebuild_keeps_readings_that_arrive_meanwhile(schema: Client, live: LiveWriter) -> None:
    """Right after a rebuild, without another proof, a layer has every reading that came through the views."""
    live.start()
    try:
        while live.rows < 20 * BATCH_ROWS and live.error is None:
            time.sleep(0.05)
        for _ in range(5):
            schema.command("ALTER TABLE l4_power_hourly_by_version DROP PARTITION ID '20260101'")
            list(prove_all(schema, [PARTITION], [BY_DEVICE_HOURLY]))
    finally:
        live.stop.set()
        live.join()
    [(rows, readings)] = schema.query(
        "SELECT (SELECT count() FROM l3_power_joined), (SELECT sum(readings) FROM l4_power_agg_hourly_store)"
    ).result_rows
    assert rows == readings
