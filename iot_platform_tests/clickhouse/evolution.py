"""A platform whose schema gets a new column while readings flow: the traffic, and the checks of all layers."""

from __future__ import annotations

import datetime as dt
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from iot_platform.clickhouse.client import connect
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.statements import split_statements
from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import BY_DEVICE_HOURLY, DERIVED_LAYERS
from iot_platform.layers.proof import prove_all
from iot_platform.layers.status import unverified_partitions
from iot_platform.layers.summary import summarize
from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.prepared_batch import Batch
from iot_platform.settings import Settings

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "900_voltage.sql"
STATEMENTS = list(split_statements(EXAMPLE.read_text()))
L1_HAS_IT = 1 + next(n for n, statement in enumerate(STATEMENTS) if statement.startswith("ALTER TABLE l1_power_raw"))
START = int(dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp())
FIRST_DAY = "20260101"
DAYS, WRITERS, ROWS = 4, 3, 2_000
TABLES = ["l1_power_raw", "l2_power_cleaned", "power_quarantine", "l3_power_joined", "l4_power_agg_hourly"]
ADDED = {"voltage", "min_voltage", "max_voltage"}


class Evolving(Settings):
    """Settings whose .sql files are a copy, so that one can be added."""

    directory: Path

    @property
    def sql_dir(self) -> Path:
        return self.directory

    def add_example(self) -> None:
        shutil.copy(EXAMPLE, self.directory)


def readings(writer: int, number: int, rows: int = ROWS, *, volts: bool = True) -> pa.Table:
    """Batch ``number`` of a writer: a minute of its own devices, on alternating days, each seventh reading refused."""
    devices = 1 + writer * rows + np.arange(rows)
    start = START + number % DAYS * 86_400 + number // DAYS * 60
    columns = [
        pa.array(np.full(rows, start)).cast(pa.timestamp("s", "UTC")),
        pa.array(devices.astype(np.uint32)),
        pa.array(np.where(devices % 7 == 0, -1.0, devices % 50 / 8)),
    ]
    table = pa.Table.from_arrays(columns, schema=READING_SCHEMA)
    voltage = pa.array((220 + devices % 20 + number / 64).astype(np.float32))
    return table.append_column("voltage", voltage) if volts else table


def voltages(client: Client) -> dict[str, int]:
    """How many rows of each layer have a voltage."""
    found = {name: client.query(f"SELECT count(voltage) FROM {name}").result_rows[0][0] for name in TABLES[:-1]}
    return found | {TABLES[-1]: client.query(f"SELECT count(min_voltage) FROM {TABLES[-1]}").result_rows[0][0]}


def columns(client: Client) -> dict[str, list[tuple[Any, ...]]]:
    query = "SELECT name, type, comment FROM system.columns WHERE database = currentDatabase() AND table = {t:String}"
    return {
        t: [tuple(row) for row in client.query(f"{query} ORDER BY position", parameters={"t": t}).result_rows]
        for t in TABLES
    }


def assert_every_layer_has_what_l1_has(client: Client) -> None:
    """Readings without duplicates have the same voltages in L1, L2 + quarantine and L3, and their extremes in L4."""
    rows = "count(), sum(cityHash64(tuple(timestamp, device_id, power_usage_kWh, voltage)))"
    valid = client.query(f"SELECT {rows} FROM l1_power_raw WHERE reject_reason = ''").first_row
    refused = client.query(f"SELECT {rows} FROM l1_power_raw WHERE reject_reason != ''").first_row
    for table, wanted in {"l2_power_cleaned": valid, "l3_power_joined": valid, "power_quarantine": refused}.items():
        assert client.query(f"SELECT {rows} FROM {table}").first_row == wanted, table
    hours = client.query(
        "SELECT toStartOfHour(timestamp) AS hour, device_id, min(voltage), max(voltage) FROM l1_power_raw "
        "WHERE reject_reason = '' GROUP BY ALL ORDER BY ALL"
    ).result_rows
    extremes = "SELECT ts_hour, device_id, min_voltage, max_voltage FROM l4_power_agg_hourly ORDER BY ALL"
    assert client.query(extremes).result_rows == hours


def prove_everything(client: Client) -> None:
    assert all(proof.is_equal for proof in prove_all(client))
    assert [unverified_partitions(client, layer) for layer in DERIVED_LAYERS] == [[]] * len(DERIVED_LAYERS)
    assert summarize(client).conserved


class Traffic:
    """Writers at full speed, a reader of L4 and a prover of open days, each in a thread; what fails is kept."""

    def __init__(self, server: Endpoint, settings: Settings) -> None:
        self._server, self._settings = server, settings
        self._stopped = threading.Event()
        self.errors: list[str] = []
        self.batches: list[tuple[float, int, int]] = []  # began at, writer, number
        self.threads = [
            *(threading.Thread(target=self._repeat, args=(lambda c, w=w: self._write(c, w),)) for w in range(WRITERS)),
            threading.Thread(target=self._repeat, args=(self._read,)),
            threading.Thread(target=self._repeat, args=(self._prove,)),
        ]

    def __enter__(self) -> Traffic:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        for thread in self.threads:
            thread.join()

    def wait_for_batches(self, count: int) -> None:
        """Wait until each writer has written this many more batches."""
        wanted = len(self.batches) + count * WRITERS
        while len(self.batches) < wanted and not self.errors:
            time.sleep(0.02)

    def _repeat(self, work: Callable[[Client], Iterator[None]]) -> None:
        client = connect(self._server, self._settings)
        try:
            for _ in work(client):
                if self._stopped.is_set():
                    return
        except (ClickHouseError, PlatformError) as error:
            self.errors.append(repr(error))
        finally:
            client.close()

    def _write(self, client: Client, writer: int) -> Iterator[None]:
        writes = BatchWriter(client, f"writer {writer}")
        with writes.exclusive():
            for number in range(10_000):
                began = time.monotonic()
                writes.write(Batch(number, number + 1, readings(writer, number)))
                self.batches.append((began, writer, number))
                yield

    def _read(self, client: Client) -> Iterator[None]:
        while True:
            client.query("SELECT sum(total_kWh), sum(readings) FROM l4_power_agg_hourly")
            yield

    def _prove(self, client: Client) -> Iterator[None]:
        while True:
            for _ in prove_all(client, only_unverified=True):
                yield
            yield


def views(client: Client) -> dict[str, str]:
    """The query of each view of the chain, as ClickHouse writes it."""
    names = [*(layer.view for layer in DERIVED_LAYERS), BY_DEVICE_HOURLY.name]
    rows = client.query(
        "SELECT name, as_select FROM system.tables WHERE database = currentDatabase() "
        "AND name IN {names:Array(String)}",
        parameters={"names": names},
    ).result_rows
    return {str(name): str(text) for name, text in rows}
