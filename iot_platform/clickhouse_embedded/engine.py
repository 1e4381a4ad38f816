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

# The engine gives every query an id of its own and offers no way to set it. This setting is unused (it filters server
# logs, which are off), is free text, and shows up in system.processes and system.query_log: it carries the client's id.
ID_SETTING = "send_logs_source_regexp"
CLIENT_ID = f"if(Settings['{ID_SETTING}'] != '', Settings['{ID_SETTING}'], query_id)"
# The views also hide the pipes from the text of the queries (see pipes.py).
_PIPE_CLAUSES = (
    r"\nINTO OUTFILE '/dev/fd/\d+' TRUNCATE( /\* default \*/ FORMAT \w+)?"
    r"|\nFROM INFILE '/dev/fd/\d+' COMPRESSION 'none'"
)
# Nobody may replace them, not even the server (see config.py): another definition needs another name.
_VIEWS_OF = "1_" + "".join(letter if letter.isalnum() else "_" for letter in chdb.__version__)
VIEWS = {table: f"{table}_by_client_id_{_VIEWS_OF}" for table in ("processes", "query_log")}
MAX_QUERIES = 100
_MAX_KILLS = 4
_MAX_WAITING = 8
_REPLACE_AT_MOST_S = 60.0
_REPLACE_AGAIN_S = 0.1


def _default_database_exists(metadata: Path) -> bool:
    """Whether the database "default" was made before; one that never had a table cannot be attached: made anew."""
    definition = metadata / "default.sql"
    if definition.exists() and not (metadata / "default").exists():
        definition.unlink()
    return definition.exists()


class Engine:
    """The engine. One per process; it holds the data directory until closed."""

    def __init__(self, data_dir: Path, config_file: Path) -> None:
        private_directory(data_dir)
        default_exists = _default_database_exists(data_dir / "metadata")
        self._connect = chdb.connect
        # Relative: "?" and "&" in the path of a home would begin options. The working directory must not change.
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
        # chDB lays a file system over the database "default", so that an unknown table is looked for as a file: no.
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
        """Hold ``query_id`` while its query runs: no two at once, and not too many in all.

        ``replace_within_s``: cancel the query that has the id and wait so long for its end (replace_running_query).
        ``kills``: it is a KILL QUERY, which has a place of its own when there are too many queries.
        """
        until = time.monotonic() + min(replace_within_s or 0, _REPLACE_AT_MOST_S)
        while not self._register(query_id, MAX_QUERIES + (_MAX_KILLS if kills else 0)):
            # Those who wait hold a thread each, and must leave some to the query that they wait for.
            if time.monotonic() >= until or not self._may_wait.acquire(blocking=False):
                raise ClickHouseError(
                    QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
                    f"Query with id = {query_id} is already running"
                    + ("." if replace_within_s is None else " and can't be stopped"),
                )
            try:
                self.kill(query_id)  # it may not have begun yet: once is not enough
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
        """Cancel the query that the client knows as ``query_id``; returns at once, and whether it was running."""
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
