"""Render and check a client's text before it runs as a statement.

The client's text itself never runs. The engine's parser renders it (formatQuerySingleLine): without comments and
invisible characters, and with one notation for strings and names. The guard checks this rendering. Then the rendering
runs, changed only by rewrite.py and pipes.py. The values of an INSERT are data; they may be expressions only if they
name nothing that is refused (hidden_sql.py).
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Mapping

from iot_platform.clickhouse_embedded.engine import Engine
from iot_platform.clickhouse_embedded.errors import SYNTAX_ERROR, UNKNOWN_QUERY_PARAMETER, ClickHouseError
from iot_platform.clickhouse_embedded.guard import Guard
from iot_platform.clickhouse_embedded.handle import BASE_SETTINGS, Handle, literal
from iot_platform.clickhouse_embedded.lexer import tokens, unclosed_heredocs
from iot_platform.clickhouse_embedded.rewrite import lost_name, with_names, without_password
from iot_platform.clickhouse_embedded.statement import InsertHead, Statement, insert_head, parse
from iot_platform.clickhouse_embedded.text import decoded

# The parser's own queries are not logged.
_PARSER_SETTINGS = {"log_queries": "0"}
_CACHED_STATEMENTS = 1024
_MAX_CACHED_LENGTH = 4096
# The engine's lexer searches the whole text for the end of each unclosed heredoc: about this many characters a second.
_MAX_HEREDOC_SEARCH = 2**30
_OWN_CALL = re.compile(r": In scope SELECT formatQuerySingleLine\(.*\Z", re.DOTALL)


class StatementChecker:
    """Renders and checks the statements of all clients of one engine."""

    def __init__(self, engine: Engine, password: str) -> None:
        """``password``: the server's. It is removed from the definitions of dictionaries."""
        self._engine = engine
        self._password = password
        self._idle: list[Handle] = []
        self._lock = threading.Lock()
        self._guard = Guard(engine.table_functions, engine.engines, engine.settings, self._render)
        self._cached = functools.lru_cache(_CACHED_STATEMENTS)(self._checked)

    def statement(self, sql: str, params: Mapping[str, str] | None = None) -> Statement:
        """The statement to run for ``sql`` with query parameters; raises ClickHouseError when it is refused."""
        sql = with_names(sql, params or {})
        found = self._cached(sql) if len(sql) <= _MAX_CACHED_LENGTH else self._checked(sql)
        if found.wants_data:
            head = insert_head(sql + "\n")
            if head is None or sql[head.data_start :].strip():
                # The parser would drop data that insert_head did not find.
                raise ClickHouseError(SYNTAX_ERROR, "Syntax error: cannot tell where the data of this INSERT begins")
        if lost := lost_name(sql, found.tokens):
            raise ClickHouseError(UNKNOWN_QUERY_PARAMETER, f"Substitution `{lost}` is not set")
        return found

    def head(self, head: InsertHead) -> InsertHead:
        """The checked head for the one that ``insert_head`` found."""
        found = self.statement(f"{head.sql}\nFORMAT {head.format}")
        if not found.wants_data or found.format is None:
            raise ClickHouseError(SYNTAX_ERROR, "Syntax error: this is not an INSERT of data")
        return InsertHead(found.text[: found.body_end], found.format, head.data_start)

    def check_setting(self, name: str, value: str) -> None:
        """Raise ACCESS_DENIED for a setting of the URL that a client may not give."""
        self._guard.check_setting(name, value)

    def refused_word(self, values: str) -> str:
        """The word because of which expressions in the data of INSERT ... VALUES are refused; empty: they are allowed.

        Raises SYNTAX_ERROR for text after the semicolon, because the engine would still store the values before it.
        """
        if ";" in values and _has_text_after_semicolon(values):
            raise ClickHouseError(SYNTAX_ERROR, "Syntax error: there is text after the ';' of the values")
        return self._guard.refused_word(values)

    def with_values(self, head: InsertHead, values: str) -> str:
        """The INSERT of ``values`` as one statement; only for values without a ``refused_word``."""
        return f"{self.head(head).sql} VALUES {values}"

    def _checked(self, sql: str) -> Statement:
        rendered = self._render(sql)
        self._guard.check(tuple(tokens(rendered)))
        return without_password(parse(rendered), self._password)

    def _render(self, sql: str) -> str:
        if unclosed_heredocs(sql) * len(sql) > _MAX_HEREDOC_SEARCH:
            raise ClickHouseError(SYNTAX_ERROR, "Syntax error: too many $tags$ that are not closed")
        handle = self._acquire_handle()
        try:
            result = handle.query(f"SELECT formatQuerySingleLine({literal(sql)})", "TSVRaw")
        except ClickHouseError as error:
            raise ClickHouseError(error.code, _OWN_CALL.sub("", error.message), error.name) from None
        finally:
            with self._lock:
                self._idle.append(handle)
        return decoded(bytes(result.bytes())[:-1])

    def _acquire_handle(self) -> Handle:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        handle = self._engine.open()
        handle.apply({**BASE_SETTINGS, **_PARSER_SETTINGS})
        return handle

    def close(self) -> None:
        """Close the handles."""
        with self._lock:
            handles, self._idle = self._idle, []
        for handle in handles:
            handle.close()


def _has_text_after_semicolon(values: str) -> bool:
    """Whether there is text after the first semicolon outside of strings."""
    ended = False
    for token in tokens(values):
        if ended:
            return True
        ended = token.text == ";"
    return False
