"""The chDB engine of one data directory: handles, running queries, cancelling."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import chdb

from iot_platform.clickhouse_embedded.errors import (
    QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    ClickHouseError,
    EmbeddedServerError,
    from_engine,
)
from iot_platform.clickhouse_embedded.handle import ENGINE_ERRORS, Handle, literal
from iot_platform.clickhouse_embedded.private_files import private_directory

# The engine gives every query its own id, which cannot be set. This setting carries the client's id instead: it is free
# text, unused (it filters server logs, which are off), and shown in system.processes and system.query_log.
ID_SETTING = "send_logs_source_regexp"
CLIENT_ID = f"if(Settings['{ID_SETTING}'] != '', Settings['{ID_SETTING}'], query_id)"
# The views also hide the pipes from the text of the queries (see pipes.py).
_PIPE_CLAUSES = (
    r"\nINTO OUTFILE '/dev/fd/\d+' TRUNCATE( /\* default \*/ FORMAT \w+)?"
    r"|\nFROM INFILE '/dev/fd/\d+' COMPRESSION 'none'"
)
# Not even the server may replace a view (see config.py), so each definition has its own name.
_VIEWS_OF = "1_" + "".join(letter if letter.isalnum() else "_" for letter in chdb.__version__)
VIEWS = {table: f"{table}_by_client_id_{_VIEWS_OF}" for table in ("processes", "query_log")}
MAX_QUERIES = 100
_MAX_KILLS = 4
_MAX_WAITING = 8
_REPLACE_AT_MOST_S = 60.0
_REPLACE_AGAIN_S = 0.1


def _default_database_exists(metadata: Path) -> bool:
    """Whether the database "default" exists. If it never had a table, it cannot be attached and is created again."""
    definition = metadata / "default.sql"
    if definition.exists() and not (metadata / "default").exists():
        definition.unlink()
    return definition.exists()


class Engine:
    """The engine. There is one per process; it owns the data directory until it is closed."""

    def __init__(self, data_dir: Path, config_file: Path) -> None:
        private_directory(data_dir)
        default_exists = _default_database_exists(data_dir / "metadata")
        self._connect = chdb.connect
        # Relative, because "?" and "&" in the path would begin options. The working directory must not change.
        self._address = f"{os.path.relpath(data_dir)}?config-file={os.path.relpath(config_file)}"
        try:
            self._root = Handle(chdb.connect(self._address))
        except ENGINE_ERRORS as error:
            raise EmbeddedServerError(f"The engine cannot open {data_dir}: {from_engine(error).message}") from None
        self._running: set[str] = set()
        self._lock = threading.Condition()
        self._may_wait = threading.BoundedSemaphore(_MAX_WAITING)
        self._use_a_plain_default_database(default_exists)
        self._create_views()
        facts = self._scalar("SELECT version(), timezone()").split("\t")
        self.version, self.timezone = facts[0], facts[1]
        self.table_functions = self._rows("SELECT name FROM system.table_functions")
        engines = "SELECT name FROM system.table_engines UNION ALL SELECT name FROM system.database_engines"
        self.engines = self._rows(engines)
        settings = "SELECT name, type FROM system.settings UNION ALL SELECT name, type FROM system.merge_tree_settings"
        self.settings = [(name, kind) for name, _, kind in (row.partition("\t") for row in self._rows(settings))]

    def _scalar(self, sql: str) -> str:
        return bytes(self._root.query(sql).bytes()).decode().rstrip("\n")

    def _rows(self, sql: str) -> list[str]:
        return self._scalar(sql).split("\n")

    def _use_a_plain_default_database(self, exists: bool) -> None:
        # In chDB's own database "default" an unknown table is looked up as a file. Replace it by an ordinary database.
        self._root.query("DETACH DATABASE default")
        self._root.query("ATTACH DATABASE default" if exists else "CREATE DATABASE default ENGINE = Atomic")

    def _create_views(self) -> None:
        self._root.query("SYSTEM FLUSH LOGS")
        replaced = (
            "* REPLACE ({id} AS query_id, if(initial_query_id = query_id, {id}, initial_query_id) AS initial_query_id, "
            f"replaceRegexpOne(query, {literal(_PIPE_CLAUSES)}, '') AS query)"
        )
        of_log = CLIENT_ID.replace("!= ''", "!= '' AND query_kind != 'Set'")
        for table, expression in (("processes", CLIENT_ID), ("query_log", of_log)):
            columns = replaced.replace("{id}", expression)
            self._root.query(f"CREATE VIEW IF NOT EXISTS system.{VIEWS[table]} AS SELECT {columns} FROM system.{table}")

    def open(self) -> Handle:
        """A fresh handle (about 1 ms) with the settings of a server."""
        try:
            return Handle(self._connect(self._address))
        except ENGINE_ERRORS as error:
            raise from_engine(error) from None

    @contextlib.contextmanager
    def registered(self, query_id: str, replace_within_s: float | None = None, kills: bool = False) -> Iterator[None]:
        """Register ``query_id`` while its query runs. Each id may run once at a time, and at most MAX_QUERIES may run.

        ``replace_within_s``: cancel the running query with the id and wait this long for its end
        (replace_running_query). ``kills``: it is a KILL QUERY, which may run beyond MAX_QUERIES.
        """
        until = time.monotonic() + min(replace_within_s or 0, _REPLACE_AT_MOST_S)
        while not self._register(query_id, MAX_QUERIES + (_MAX_KILLS if kills else 0)):
            # Each waiting request occupies a thread. Their number is limited, so that the awaited query gets one too.
            if time.monotonic() >= until or not self._may_wait.acquire(blocking=False):
                raise ClickHouseError(
                    QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
                    f"Query with id = {query_id} is already running"
                    + ("." if replace_within_s is None else " and can't be stopped"),
                )
            try:
                self.kill(query_id)  # repeatedly, because the query may not have begun yet
                with self._lock:
                    self._lock.wait_for(lambda: query_id not in self._running, _REPLACE_AGAIN_S)
            finally:
                self._may_wait.release()
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(query_id)
                self._lock.notify_all()

    def _register(self, query_id: str, limit: int) -> bool:
        with self._lock:
            if query_id in self._running:
                return False
            if len(self._running) >= limit:
                raise ClickHouseError(
                    TOO_MANY_SIMULTANEOUS_QUERIES, f"Too many simultaneous queries. Maximum: {MAX_QUERIES}"
                )
            self._running.add(query_id)
            return True

    def kill(self, query_id: str) -> bool:
        """Cancel the query with the client's ``query_id``; returns at once, and whether it was running."""
        return self._kill(f"Settings['{ID_SETTING}'] = {literal(query_id)}")

    def kill_all(self) -> None:
        """Cancel everything that runs."""
        self._kill("1")

    def _kill(self, condition: str) -> bool:
        handle = self.open()
        try:
            return bool(bytes(handle.query(f"KILL QUERY WHERE {condition} ASYNC").bytes()))
        finally:
            handle.close()

    def close(self) -> None:
        """Flush the logs and release the data directory."""
        with contextlib.suppress(ClickHouseError):
            self._root.query("SYSTEM FLUSH LOGS")
        self._root.close()
