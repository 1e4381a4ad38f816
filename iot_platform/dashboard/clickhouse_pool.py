"""A small pool of ClickHouse clients for many threads. After an outage it reconnects by itself."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from iot_platform.clickhouse.client import UNKNOWN_TABLE, connect
from iot_platform.clickhouse.endpoint import endpoint
from iot_platform.errors import ServerError
from iot_platform.settings import Settings

# Maximum number of concurrent queries; others wait. ClickHouse also ingests readings.
MAX_CLIENTS = 8
VERSION_AGE_S = 1.0
MAX_ERROR_LENGTH = 400
UNREACHABLE = "ClickHouse does not answer."

# Merges keep a partition's newest block number: only inserts, mutations and swaps of partitions change the version.
VERSION_SQL = """
SELECT sum(cityHash64(table, partition_id, block, mutation)) AS version, toUnixTimestamp(max(changed_at)) AS changed_at
FROM
(
    SELECT
        table, partition_id, max(max_block_number) AS block, max(data_version) AS mutation,
        max(modification_time) AS changed_at
    FROM system.parts
    WHERE database = {database:String} AND table IN {tables:Array(String)} AND active
    GROUP BY table, partition_id
)
"""


class UnavailableError(ServerError):
    """ClickHouse did not answer a query; it may answer later."""


@dataclass(frozen=True)
class QueryResult:
    """A result by column, and the query's duration in ms, without the wait for a free client."""

    columns: Sequence[Sequence[object]]
    milliseconds: float


@dataclass(frozen=True)
class Version:
    """A fingerprint of the data, and when it last changed (seconds since 1970; 0: there is no data)."""

    fingerprint: str
    changed_at: int


class ClickHousePool:
    """Runs the dashboard's queries. Safe to use from many threads: each query has a client to itself."""

    def __init__(self, settings: Settings, tables: Sequence[str]) -> None:
        """``tables``: a change of one of these makes a new version of the data."""
        self._settings = settings.model_copy(update={"query_timeout_s": settings.dashboard_query_timeout_s})
        self._tables = sorted(tables)
        # Last in, first out: with few viewers, only a few connections are opened.
        self._idle: queue.LifoQueue[Client | None] = queue.LifoQueue()
        for _ in range(MAX_CLIENTS):
            self._idle.put(None)
        self._version_lock = threading.Lock()
        self._version: tuple[float, Version] | None = None

    def query(self, sql: str, parameters: Mapping[str, object]) -> QueryResult:
        """Run one query. Raises UnavailableError with a message for the page, whatever the reason."""
        with self._client() as client:
            started = time.perf_counter()
            limits = {"max_execution_time": self._settings.query_timeout_s}
            result = client.query(sql, parameters=dict(parameters), settings=limits, column_oriented=True)
            return QueryResult(result.result_columns, (time.perf_counter() - started) * 1000)

    def version(self) -> Version:
        """The version of the data, at most a second old. Many viewers cause one query a second."""
        with self._version_lock:
            if self._version is None or time.monotonic() - self._version[0] > VERSION_AGE_S:
                self._version = None
                read_at = time.monotonic()
                self._version = (read_at, self._read_version())
            return self._version[1]

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._forget_clients()

    def _read_version(self) -> Version:
        parameters = {"database": self._settings.clickhouse_database, "tables": self._tables}
        [[fingerprint], [changed_at]] = self.query(VERSION_SQL, parameters).columns
        return Version(str(fingerprint), int(str(changed_at)))

    @contextmanager
    def _client(self) -> Iterator[Client]:
        try:
            client = self._idle.get(timeout=self._settings.query_timeout_s)
        except queue.Empty:
            raise UnavailableError("ClickHouse is busy: too many queries are waiting.") from None
        try:
            client = client or self._connect()
            yield client
        except (Error, ServerError) as error:
            if client is not None:
                client.close()
            client = None
            if isinstance(error, UnavailableError):
                raise
            raise UnavailableError(self._message(error)) from error
        finally:
            self._idle.put(client)

    def _connect(self) -> Client:
        found = endpoint(self._settings)
        if found is None:
            raise UnavailableError("ClickHouse is not running (start it: iot-platform db serve).")
        return connect(found, self._settings, comment={"origin": "dashboard"})

    def _message(self, error: Error | ServerError) -> str:
        cause = error.__cause__ if isinstance(error.__cause__, Error) else error
        if isinstance(cause, Error) and cause.code is None:
            # The other connections are lost as well: after an outage the server may have another address.
            self._forget_clients()
            slow = "timed out" in str(cause)
            return f"ClickHouse did not answer within {self._settings.query_timeout_s} s." if slow else UNREACHABLE
        if isinstance(cause, Error) and cause.code == UNKNOWN_TABLE:
            return f"{_first_line(cause)} Bring the schema up to date: iot-platform migrate"
        return _first_line(cause)

    def _forget_clients(self) -> None:
        for _ in range(self._idle.qsize()):
            try:
                client = self._idle.get_nowait()
            except queue.Empty:
                return
            if client is not None:
                client.close()
            self._idle.put(None)


def _first_line(error: Exception) -> str:
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return text if len(text) <= MAX_ERROR_LENGTH else f"{text[:MAX_ERROR_LENGTH]} ..."
