"""One connection to the engine, and how names and values are written in its SQL."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

from chdb import ChdbError

from iot_platform.clickhouse_embedded.errors import BAD_QUERY_PARAMETER, SYNTAX_ERROR, ClickHouseError, from_engine
from iot_platform.clickhouse_embedded.text import decoded, encoded

ENGINE_ERRORS = (ChdbError, RuntimeError)  # what the engine's Python module raises
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Extras of clickhouse-local are off, as on a server; async_insert would be silently synchronous in this engine.
# max_query_size: dispatch.py limits a statement to 64 MiB, and its rendering may be longer. 0 (no limit) is impossible,
# because the engine also truncates log_comment to this size.
BASE_SETTINGS = {
    "implicit_select": "0",
    "allow_introspection_functions": "0",
    "async_insert": "0",
    "max_query_size": str(256 * 1024 * 1024),
    "enable_alp_codec": "1",  # else a table with this codec (sql/094) cannot be copied
}


def _is_utf8(params: Mapping[str, str]) -> bool:
    try:
        for text in (*params, *params.values()):
            text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
        """Run any statement; returns the whole result. Text and ``params`` may contain any bytes (text.py)."""
        given = dict(params or {})
        if _is_utf8(given):
            return self._query(sql, fmt, given)
        # The engine's module takes parameters only as UTF-8; SET takes any bytes.
        for name in given:
            if not _PLAIN_NAME.fullmatch(name):
                raise ClickHouseError(BAD_QUERY_PARAMETER, f"Not the name of a query parameter: {name!r}")
        self._query("SET " + ", ".join(f"param_{name} = {literal(value)}" for name, value in given.items()), fmt, {})
        try:
            return self._query(sql, fmt, {})
        finally:
            self._query("SELECT 1", "TabSeparated", {"_": ""})  # the parameters of a call replace those of SET

    def _query(self, sql: str, fmt: str, params: dict[str, str]) -> Any:
        try:
            return self.connection.query(encoded(sql), fmt, params=params)
        except UnicodeDecodeError as error:  # the error message quotes bytes of the client
            raise from_engine(RuntimeError(decoded(error.object))) from None
        except ENGINE_ERRORS as error:
            raise from_engine(error) from None

    def query_one(self, sql: str, fmt: str, params: Mapping[str, str]) -> Any:
        """Run a client's statement. The engine's own parser must find exactly one statement in it."""
        if self.classify(sql)["statement_count"] > 1:
            raise ClickHouseError(SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
        return self.query(sql, fmt, params)

    def classify(self, sql: str) -> Mapping[str, Any]:
        """The verdict of the engine's parser on ``sql``: statement_count and query_class."""
        try:
            verdict: Mapping[str, Any] = self.connection._conn.classify_query(encoded(sql))  # noqa: SLF001
        except UnicodeDecodeError as error:
            raise from_engine(RuntimeError(decoded(error.object))) from None
        except ENGINE_ERRORS as error:
            raise from_engine(error) from None
        return verdict

    def apply(self, settings: Mapping[str, str], database: str = "") -> None:
        """Make ``database`` the current one and SET the settings, in one step."""
        use = f"USE {identifier(database)};" if database else ""
        self.query(use + "SET " + ", ".join(f"{name} = {literal(value)}" for name, value in settings.items()))

    def close(self) -> None:
        """Close the connection, which drops its temporary tables."""
        with contextlib.suppress(*ENGINE_ERRORS):
            self.connection.close()
