"""The parts of a SQL text: its kind, its output format, and where the data of an INSERT begins."""

from __future__ import annotations

import re
from dataclasses import dataclass

from iot_platform.clickhouse_embedded.errors import SYNTAX_ERROR, UNKNOWN_FORMAT, ClickHouseError
from iot_platform.clickhouse_embedded.lexer import Token, tokens

_WITH_RESULT = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "EXPLAIN", "EXISTS", "CHECK", "KILL", "("})
_FORMAT = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_STREAMED = frozenset({"SELECT", "WITH", "("})


@dataclass(frozen=True)
class InsertHead:
    """The statement part of an INSERT whose data follows: SQL before FORMAT/VALUES, format, where the data begins."""

    sql: str
    format: str
    data_start: int


@dataclass(frozen=True)
class Statement:
    """A statement without inline data."""

    text: str
    tokens: tuple[Token, ...]
    format: str | None
    body_end: int  # where the FORMAT clause begins, else the end

    @property
    def kind(self) -> str:
        """The first keyword in upper case."""
        first = self.tokens[0]
        return first.word or first.text

    @property
    def has_result(self) -> bool:
        """Whether the statement answers with rows (DDL and INSERT do not)."""
        return self.kind in _WITH_RESULT

    @property
    def is_select(self) -> bool:
        """Whether the engine can stream the result."""
        return self.kind in _STREAMED

    @property
    def wants_data(self) -> bool:
        """Whether it is an INSERT of data that follows, not of a SELECT."""
        if self.kind != "INSERT" or self.format is None:
            return False
        return not any(token.word in ("SELECT", "WITH") for token in self.tokens)


def format_name(name: str) -> str:
    """``name`` for use in SQL without quotes; raises UNKNOWN_FORMAT unless it is one plain word."""
    if not _FORMAT.fullmatch(name):
        raise ClickHouseError(UNKNOWN_FORMAT, f"Unknown format {name!r}")
    return name


def parse(text: str) -> Statement:
    """The parts of one statement in the engine's own rendering."""
    found = tuple(tokens(text))
    if not found:
        raise ClickHouseError(SYNTAX_ERROR, "Syntax error: empty query")
    fmt, body_end = _format(found)
    return Statement(text[: found[-1].end], found, fmt, body_end)


def _format(found: tuple[Token, ...]) -> tuple[str | None, int]:
    """The format of a trailing FORMAT clause and where the clause begins; SETTINGS may follow it."""
    depth = 0
    for index in range(len(found) - 1, 0, -1):
        token = found[index]
        depth += {")": 1, "(": -1}.get(token.text, 0)
        before = found[index - 1]
        if depth == 0 and before.word == "FORMAT" and token.kind in ("word", "quoted"):
            last = index + 1 == len(found)
            if last or found[index + 1].word in ("SETTINGS", "INTO"):
                return token.name, before.start
    return None, found[-1].end


def insert_head(text: str) -> InsertHead | None:
    """The head of an INSERT that data follows, or None (another statement, INSERT SELECT, or not yet complete).

    Reads no further than the head: ``text`` may carry megabytes of data.
    """
    depth = 0
    previous: Token | None = None
    inserts = False
    for token in tokens(text):
        if previous is None and token.word not in ("INSERT", "WITH"):
            return None
        before, previous = previous, token
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(token.text, 0)
        if depth or (before is not None and before.text == "."):
            continue
        if not inserts:  # WITH ... INSERT
            if token.word == "SELECT":
                return None
            inserts = token.word == "INSERT"
            continue
        last = before.word if before is not None else ""
        if token.word in ("SELECT", "WITH", "FROM", "EXPLAIN") and last not in ("INTO", "TABLE"):
            return None
        if token.word == "VALUES" and last not in ("INTO", "TABLE", "FORMAT"):
            return InsertHead(text[: token.start], "Values", token.end)
        if last == "FORMAT" and before is not None and token.kind == "word" and token.end < len(text):
            return InsertHead(text[: before.start], token.text, _after_format(text, token.end))
    return None


def _after_format(text: str, position: int) -> int:
    """Where the data begins: after the blanks and one line end that follow ``FORMAT name``."""
    while position < len(text) and text[position] in " \t\f;":
        position += 1
    if text.startswith("\r", position):
        position += 1
    return position + 1 if text.startswith("\n", position) else position
