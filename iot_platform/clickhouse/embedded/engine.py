"""The chDB engine of one data directory: handles, running queries, cancelling."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import chdb
from chdb import ChdbError

from iot_platform.clickhouse.embedded.faults import (
    QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
    SYNTAX_ERROR,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    ClickHouseError,
    from_engine,
)
from iot_platform.errors import ServerError
from iot_platform.private_files import private_directory

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
ENGINE_ERRORS = (ChdbError, RuntimeError)  # what the engine's Python module raises

# clickhouse-local's conveniences, off as on a server; async_insert is silently synchronous in this engine.
BASE_SETTINGS = {"implicit_select": "0", "allow_introspection_functions": "0", "async_insert": "0"}


def literal(value: str) -> str:
    """``value`` as an SQL string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(name: str) -> str:
    """``name`` as a quoted SQL identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


class Handle:
    """One connection to the engine with settings, current database and temporary tables of its own."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def query(self, sql: str, fmt: str = "TabSeparated", params: Mapping[str, str] | None = None) -> Any:
        """Run any statement; the whole result comes back at once."""
        try:
            return self.connection.query(sql, fmt, params=dict(params or {}))
        except ENGINE_ERRORS as error:
            raise from_engine(error) from None

    def query_one(self, sql: str, fmt: str, params: Mapping[str, str]) -> Any:
        """Run a client's statement: the engine itself must see exactly one in it, whatever was put together."""
        if self.classify(sql)["statement_count"] > 1:
            raise ClickHouseError(SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
        return self.query(sql, fmt, params)

    def classify(self, sql: str) -> Mapping[str, Any]:
        """What the engine's parser says of ``sql``: statement_count and query_class."""
        try:
            verdict: Mapping[str, Any] = self.connection._conn.classify_query(sql)  # noqa: SLF001
        except ENGINE_ERRORS as error:
            raise from_engine(error) from None
        return verdict

    def apply(self, settings: Mapping[str, str], database: str = "") -> None:
        """Make ``database`` the current one and SET the settings, in one step."""
        use = f"USE {identifier(database)};" if database else ""
        self.query(use + "SET " + ", ".join(f"{name} = {literal(value)}" for name, value in settings.items()))

    def close(self) -> None:
        """Give the connection back; temporary tables vanish."""
        with contextlib.suppress(Exception):
            self.connection.close()


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
            raise ServerError(f"The engine cannot open {data_dir}: {from_engine(error).message}") from None
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._use_a_plain_default_database(default_exists)
        self._create_views()
        facts = self._scalar("SELECT version(), timezone()").split("\t")
        self.version, self.timezone = facts[0], facts[1]
        self.table_functions = self._scalar("SELECT name FROM system.table_functions").split("\n")
        engines = "SELECT name FROM system.table_engines UNION ALL SELECT name FROM system.database_engines"
        self.engines = self._scalar(engines).split("\n")

    def _scalar(self, sql: str) -> str:
        return bytes(self._root.query(sql).bytes()).decode().rstrip("\n")

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
    def registered(self, query_id: str) -> Iterator[None]:
        """Hold ``query_id`` while its query runs: no two at once, and not too many in all."""
        with self._lock:
            if query_id in self._running:
                raise ClickHouseError(
                    QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING, f"Query with id = {query_id} is already running."
                )
            if len(self._running) >= MAX_QUERIES:
                raise ClickHouseError(
                    TOO_MANY_SIMULTANEOUS_QUERIES, f"Too many simultaneous queries. Maximum: {MAX_QUERIES}"
                )
            self._running.add(query_id)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(query_id)

    def kill(self, query_id: str) -> None:
        """Cancel the query that the client knows as ``query_id``; returns at once."""
        self._kill(f"Settings['{ID_SETTING}'] = {literal(query_id)}")

    def kill_all(self) -> None:
        """Cancel everything that runs."""
        self._kill("1")

    def _kill(self, condition: str) -> None:
        handle = self.open()
        try:
            handle.query(f"KILL QUERY WHERE {condition} ASYNC")
        finally:
            handle.close()

    def close(self) -> None:
        """Flush the logs and release the data directory."""
        with contextlib.suppress(ClickHouseError):
            self._root.query("SYSTEM FLUSH LOGS")
        self._root.close()
