"""One request on the engine. Everything here blocks and runs in worker threads, one step at a time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from iot_platform.clickhouse_embedded.denied import denied
from iot_platform.clickhouse_embedded.engine import ID_SETTING, Engine
from iot_platform.clickhouse_embedded.errors import READONLY, ClickHouseError
from iot_platform.clickhouse_embedded.handle import BASE_SETTINGS, Handle, identifier
from iot_platform.clickhouse_embedded.lexer import Token, tokens
from iot_platform.clickhouse_embedded.pipes import Inserter, Output
from iot_platform.clickhouse_embedded.request import HttpQuery
from iot_platform.clickhouse_embedded.rewrite import with_client_ids
from iot_platform.clickhouse_embedded.sessions import Session, Sessions
from iot_platform.clickhouse_embedded.statement import InsertHead, Statement
from iot_platform.clickhouse_embedded.statement_checker import StatementChecker

_SESSION_ONLY = ("SET", "USE")

# For values that were not checked: an expression is an error.
LITERALS_ONLY = {
    "input_format_values_interpret_expressions": "0",
    "input_format_values_deduce_templates_of_expressions": "0",
}


@dataclass
class Totals:
    """Counts of one query, for X-ClickHouse-Summary."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0

    def read(self, result: Any) -> None:
        """Add the counts of a result of the engine."""
        self.read_rows = max(self.read_rows, int(result.storage_rows_read()))
        self.read_bytes = max(self.read_bytes, int(result.storage_bytes_read()))
        self.written_rows = max(self.written_rows, int(result.rows_written()))
        self.written_bytes = max(self.written_bytes, int(result.bytes_written()))
        self.result_rows += int(result.rows_read())
        self.result_bytes += int(result.bytes_read())


class Execution:
    """One request on the engine, from acquiring a handle to releasing it."""

    def __init__(self, engine: Engine, sessions: Sessions, checker: StatementChecker, query: HttpQuery) -> None:
        self.query = query
        self.totals = Totals()
        self.format: str | None = None
        self.reads_only = True
        self.refused_word = ""
        self.progress: dict[str, int] | None = None  # the engine's latest counts, if the client asked for progress
        self._engine = engine
        self._sessions = sessions
        self._checker = checker
        self._started = time.monotonic()
        self._temporary_settings = list(query.settings)  # a session must not keep them
        self._stack = contextlib.ExitStack()
        self._is_registered = False
        self._handle: Handle | None = None
        self._session: Session | None = None
        self._inserter: Inserter | None = None

    @property
    def elapsed_ns(self) -> int:
        """Nanoseconds since the request began."""
        return int((time.monotonic() - self._started) * 1e9)

    @property
    def handle(self) -> Handle:
        """The handle taken by ``open``."""
        assert self._handle is not None
        return self._handle

    def open(self) -> None:
        """Take the session or a new handle, and apply the settings of the request.

        If there are external tables to fill, ``readonly`` is set later, by ``protect``.
        """
        query = self.query
        for name, value in query.settings.items():
            self._checker.check_setting(name, value)
        settings = {**query.settings, ID_SETTING: query.query_id}
        if query.session_id:
            session = self._sessions.acquire(query.session_id, query.session_timeout_s, query.session_check)
            self._stack.callback(self._sessions.release, query.session_id, query.close_session)
            self._session, self._handle = session, session.handle
            self._stack.callback(session.restore, self._temporary_settings)
            session.apply(settings, query.database)
        else:
            self._handle = self._engine.open()
            self._stack.callback(self._handle.close)
            self._handle.apply({**BASE_SETTINGS, **settings}, query.database)
        if query.progress_interval_s is not None:
            self.handle.connection.set_progress_callback(self._note_progress)
            self._stack.callback(self.handle.connection.set_progress_callback, None)
        if not query.external:
            self.protect()

    def _register(self, kind: str) -> None:
        """Count as a running query. Not earlier: a client may send its statement slowly."""
        if not self._is_registered:
            query = self.query
            place = self._engine.registered(query.query_id, query.replace_within_s, kills=kind == "KILL")
            self._stack.enter_context(place)
            self._is_registered = True

    def _note_progress(self, progress: dict[str, int]) -> None:
        self.progress = progress

    def _quietly(self, sql: str) -> None:
        with contextlib.suppress(ClickHouseError):
            self.handle.query(sql)

    def add_external(self, name: str, structure: str, fmt: str, data: Iterator[bytes]) -> None:
        """A temporary table from a file of a multipart request."""
        # The structure is SQL of the client: it must be only the column list of this one statement.
        create = self._checker.statement(f"CREATE TEMPORARY TABLE {identifier(name)} (\n{structure}\n) ENGINE = Memory")
        self._register(create.kind)
        self.handle.query_one(create.text, "TabSeparated", {})
        if self.query.session_id:
            self._stack.callback(self._quietly, f"DROP TEMPORARY TABLE IF EXISTS {identifier(name)}")
        self._inserter = Inserter(self.handle, InsertHead(f"INSERT INTO {identifier(name)}", fmt, 0), {})
        for chunk in data:
            self.append(chunk)
        self.finish_insert()
        self.totals = Totals()

    def protect(self) -> None:
        """Set ``readonly``, as the last setting, because nothing can be written or set after it."""
        if self.query.readonly and not self.query.session_id:
            self.handle.apply({"readonly": str(self.query.readonly)})

    def run(self, sql: str) -> Iterator[bytes]:
        """Run a statement without inline data; yields the encoded result."""
        statement = self._checker.statement(sql, self.query.params)
        self._check_readonly(statement.text, statement.kind)
        self._register(statement.kind)
        fmt = statement.format or self.query.default_format
        self.reads_only = statement.has_result
        self.format = fmt if statement.has_result else None
        statement = with_client_ids(statement)
        if statement.is_select:
            return self._closing(self._streamed(statement, fmt))
        lasting = statement.tokens if statement.kind in _SESSION_ONLY else ()
        return self._closing(self._whole(statement.text, fmt, lasting))

    def run_values(self, head: InsertHead, values: str) -> Iterator[bytes] | None:
        """Run an INSERT of Values whose data is complete; values may be expressions and query parameters.

        Returns None when they contain a ``refused_word``. Then use ``begin_insert``, which accepts literals only.
        """
        self.refused_word = self._checker.refused_word(values)
        if self.refused_word:
            return None
        text = self._checker.with_values(head, values)
        self._check_readonly(text, "INSERT")
        self._register("INSERT")
        self.reads_only = False
        return self._closing(self._whole(text, "Values"))

    def _closing(self, result: Generator[bytes, None, None]) -> Iterator[bytes]:
        self._stack.callback(result.close)
        return result

    def _whole(self, text: str, fmt: str, lasting: tuple[Token, ...] = ()) -> Generator[bytes, None, None]:
        result = self.handle.query_one(text, fmt, self.query.params)
        if self._session is not None and lasting:
            self._session.remember(lasting)
        self.totals.read(result)
        yield bytes(result.bytes())

    def _streamed(self, statement: Statement, fmt: str) -> Generator[bytes, None, None]:
        output = Output(self.handle, statement, fmt, self.query.params)
        try:
            yield from output
            self.totals.read(output.result)
        finally:
            output.cancel(lambda: self._engine.kill(self.query.query_id))

    def _check_readonly(self, text: str, kind: str) -> None:
        """Refuse what ``readonly`` forbids. The engine would allow KILL, and keep readonly in a session."""
        if not self.query.readonly:
            return
        refused = kind == "KILL"
        if self.query.session_id and not refused:
            verdict = self.handle.classify(text)
            reads = verdict["query_class"].name == "READ_ONLY" or verdict["statement_count"] == 0
            refused = not reads and not (self.query.readonly == 2 and kind in _SESSION_ONLY)
        if refused:
            raise ClickHouseError(
                READONLY,
                "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
                "You should use method POST for modifying queries",
            )

    def begin_insert(self, head: InsertHead) -> None:
        """Begin an INSERT whose data follows in chunks."""
        self.reads_only = False
        head = self._checker.head(head)
        self._check_readonly(f"{head.sql} FORMAT {head.format}", "INSERT")
        self._register("INSERT")
        if head.format.lower() == "values":
            # Values are SQL expressions. A stream of them cannot be checked, so only literals are accepted.
            if any(token.name.lower().startswith("input_format_values") for token in tokens(head.sql)):
                raise denied("A setting of the Values format in an INSERT with much data")
            self.handle.apply(LITERALS_ONLY)
            self._temporary_settings += LITERALS_ONLY
        self._inserter = Inserter(self.handle, head, self.query.params)

    def append(self, data: bytes) -> None:
        """Send the next bytes of an INSERT to the engine."""
        assert self._inserter is not None
        self._inserter.append(data)

    def finish_insert(self) -> None:
        """Commit the INSERT."""
        assert self._inserter is not None
        self.totals.read(self._inserter.finish())
        self._inserter = None

    def close(self) -> None:
        """Cancel an unfinished INSERT and release the session and the handle."""
        if self._inserter is not None:
            self._inserter.cancel(lambda: self._engine.kill(self.query.query_id))
            self._inserter = None
        self._stack.close()
