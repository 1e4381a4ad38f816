"""What one SQL text is: its kind, its output format, and where the data of an INSERT begins."""

from __future__ import annotations

import re
from dataclasses import dataclass

from iot_platform.clickhouse.embedded.faults import SYNTAX_ERROR, UNKNOWN_FORMAT, ClickHouseError
from iot_platform.clickhouse.embedded.lexer import Token, tokens

_WITH_RESULT = frozenset(
    {"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "CHECK", "KILL", "FROM", "(", "VALUES"}
)
_FORMAT = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_STREAMED = frozenset({"SELECT", "WITH", "FROM", "("})


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
        return self.kind in _WITH_RESULT and not self.inserts

    @property
    def is_select(self) -> bool:
        """Whether the engine can stream the result."""
        return self.kind in _STREAMED and not self.inserts

    @property
    def inserts(self) -> bool:
        """INSERT, also behind a WITH clause."""
        if self.kind == "INSERT":
            return True
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return self.kind == "WITH" and any((a.word, b.word) == ("INSERT", "INTO") for a, b in pairs)


def format_name(name: str) -> str:
    """``name``, which goes into SQL as it is; raises UNKNOWN_FORMAT unless it is one plain word."""
    if not _FORMAT.fullmatch(name):
        raise ClickHouseError(UNKNOWN_FORMAT, f"Unknown format {name!r}")
    return name


def parse(text: str) -> Statement:
    """Tokenise one statement; more than one is a syntax error, as in ClickHouse's HTTP interface."""
    found = tuple(tokens(text))
    while found and found[-1].text == ";":
        found = found[:-1]
    if not found:
        raise ClickHouseError(SYNTAX_ERROR, "Syntax error: empty query")
    for token in found:
        if token.text == ";":
            raise ClickHouseError(
                SYNTAX_ERROR, f"Syntax error (Multi-statements are not allowed): failed at {token.start}"
            )
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
    """The head of an INSERT with data behind it, or None (another statement, INSERT SELECT, or not yet complete).

    Reads no further than the head: ``text`` may carry megabytes of data.
    """
    stream = tokens(text)
    first = next(stream, None)
    if first is None or first.word != "INSERT":
        return None
    depth = 0
    previous = first
    for token in stream:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and previous.text != ".":
            if token.word in ("SELECT", "WITH", "FROM", "EXPLAIN"):
                return None
            if token.word == "VALUES" and previous.word not in ("INTO", "TABLE"):
                return InsertHead(text[: token.start], "Values", token.end)
            if previous.word == "FORMAT" and token.kind == "word" and token.end < len(text):
                return InsertHead(text[: previous.start], token.text, _after_format(text, token.end))
        previous = token
    return None


def _after_format(text: str, position: int) -> int:
    """Data begins after the blanks and one line end behind ``FORMAT name``."""
    while position < len(text) and text[position] in " \t\f;":
        position += 1
    if text.startswith("\r", position):
        position += 1
    return position + 1 if text.startswith("\n", position) else position
