"""The platform under test, with a server process of its own, beside the model of what it must hold."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import connect
from iot_platform.clickhouse.endpoint import endpoint
from iot_platform.clickhouse.migrations import create_database, migrate
from iot_platform.clickhouse_embedded.directory import ServerDirectory
from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.prepared_batch import Batch
from iot_platform.settings import Settings
from iot_platform_tests.stateful.model import Truth

START_TIMEOUT_S = 120.0

Row = tuple[int, int, float]


@dataclass
class Sent:
    """A batch that was sent. ``arrived_us``: in L1; None: its insert failed before the server saw it."""

    source: str
    position: int
    rows: list[Row]
    arrived_at: dt.datetime | None
    arrived_us: int | None

    @property
    def batch(self) -> Batch:
        return Batch(self.position, self.position + len(self.rows), readings_table(self.rows), self.arrived_at)


class World:
    """A platform in a directory, its server, a client, and the truth. Use it as a context manager."""

    client: Client

    def __init__(self, home: Path) -> None:
        self.truth = Truth()
        self.sent: list[Sent] = []
        self.open_batches: list[Sent] = []
        self.positions: dict[str, int] = {}
        # Readings accepted by each stream, and how many of them the truth has.
        self.streams: dict[str, list[Row]] = {}
        self.delivered: dict[str, int] = {}
        self.settings = Settings(home=home, clickhouse_url=None, clickhouse_port=0)
        self._log = home / "stateful-server.log"
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> World:
        files = ServerDirectory(self.settings.clickhouse_dir)
        files.path.mkdir(mode=0o700, parents=True)
        # While this is held the server is needed: it does not outlive a test that was killed.
        self._users = files.users_lock.open("a")
        fcntl.flock(self._users, fcntl.LOCK_SH)
        self.start()
        found = endpoint(self.settings)
        assert found is not None
        create_database(found, self.settings)
        self.connect()
        migrate(self.client, self.settings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(AttributeError):
            self.client.close()
        self.stop(hard=False)
        self._users.close()

    def start(self) -> None:
        """Start the server, on the port that it had before."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IOT_")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "iot_platform", "db", "serve", "--port", str(self._port), "--stop-when-unused"],
                env={**kept, "IOT_HOME": str(self.settings.root)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while (found := endpoint(self.settings)) is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The server did not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.05)
        self._port = found.port

    def stop(self, *, hard: bool) -> None:
        """End the server: SIGKILL when ``hard``, else SIGTERM."""
        if self._process is None:
            return
        (self._process.kill if hard else self._process.terminate)()
        self._process.wait()
        self._process = None

    def connect(self) -> None:
        """A new client, as after a restart."""
        with contextlib.suppress(AttributeError):
            self.client.close()
        found = endpoint(self.settings)
        assert found is not None
        self.client = connect(found, self.settings)

    def remote_settings(self) -> Settings:
        """Settings of another process, which finds the server by its address and never starts one."""
        password = (self.settings.clickhouse_dir / "password").read_text().strip()
        return Settings(
            home=self.settings.home,
            clickhouse_url=f"http://default:{password}@127.0.0.1:{self._port}",  # type: ignore[arg-type]
            batch_rows=7,
            batch_age_s=30,
        )

    def next_batch(self, source: str, rows: Sequence[Row], arrived_at: dt.datetime | None) -> Sent:
        """The next batch of a source; its positions are used up by ``written`` or ``failed``."""
        return Sent(source, self.positions.get(source, 0), list(rows), arrived_at, None)

    def write(self, sent: Sent) -> None:
        """Write a batch (again) and put what is new of it into the truth."""
        BatchWriter(self.client, sent.source).write(sent.batch)
        if sent.arrived_us is None:
            self.note_arrival(sent)
        self.use_up(sent)

    def note_arrival(self, sent: Sent) -> None:
        """A batch is in L1: put it into the truth, with the arrival time that the ledger has."""
        rows = self.client.query(
            "SELECT toUnixTimestamp64Micro(ingested_at) FROM ingestion_ledger FINAL "
            "WHERE source = {source:String} AND position_from = {position:Int64}",
            parameters={"source": sent.source, "position": sent.position},
        ).result_rows
        sent.arrived_us = int(rows[0][0])
        self.truth.accept(sent.rows, sent.arrived_us)

    def use_up(self, sent: Sent) -> None:
        """The source goes on behind this batch."""
        self.positions[sent.source] = max(self.positions.get(sent.source, 0), sent.position + len(sent.rows))


def arrivals(client: Client, source: str) -> Iterator[tuple[int, int, int]]:
    """All batches of a source that are committed: their positions, and when they arrived."""
    rows = client.query(
        "SELECT position_from, position_to, toUnixTimestamp64Micro(ingested_at) FROM ingestion_ledger FINAL "
        "WHERE source = {source:String} AND state = 'committed' ORDER BY position_from",
        parameters={"source": source},
    ).result_rows
    for start, stop, arrived_us in rows:
        yield int(start), int(stop), int(arrived_us)


def readings_table(rows: Sequence[Row]) -> pa.Table:
    """Readings as a source delivers them."""
    times, devices, values = zip(*rows, strict=True)
    columns: list[pa.Array[Any]] = [
        pa.array(times, pa.int64()).cast(pa.timestamp("s", "UTC")),
        pa.array(devices, pa.uint32()),
        pa.array(values, pa.float64()),
    ]
    return pa.Table.from_arrays(columns, schema=READING_SCHEMA)
