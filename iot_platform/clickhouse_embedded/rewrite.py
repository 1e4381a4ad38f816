"""Change statements: insert names given as parameters, remove the server's password, map the clients' query ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from iot_platform.clickhouse_embedded.engine import CLIENT_ID, VIEWS
from iot_platform.clickhouse_embedded.handle import identifier
from iot_platform.clickhouse_embedded.lexer import Token, tokens
from iot_platform.clickhouse_embedded.statement import Statement, parse


def with_names(sql: str, params: Mapping[str, str]) -> str:
    """A client's text with each ``{name:Identifier}`` replaced by the name that ``params`` gives.

    The engine could do it, but its rendering of a statement (statement_checker.py) drops a parameter that is an alias.
    """
    if "Identifier" not in sql:
        return sql
    found = tuple(tokens(sql))
    edits = [
        (found[index].start, found[index + 4].end, identifier(params[found[index + 1].text]))
        for index in _named(found)
        if found[index + 1].text in params
    ]
    return _edited(sql, edits)


def lost_name(sql: str, rendered: tuple[Token, ...]) -> str:
    """The first ``{name:Identifier}`` of ``sql`` that is not in the rendering; empty: all are there."""
    if "Identifier" not in sql:
        return ""
    before = tuple(tokens(sql))
    names = Counter(before[index + 1].text for index in _named(before))
    lost = names - Counter(rendered[index + 1].text for index in _named(rendered))
    return min(lost, default="")


def _named(found: tuple[Token, ...]) -> list[int]:
    """Where ``{name:Identifier}`` begins."""
    texts = [token.text for token in found]
    return [
        index
        for index in range(len(texts) - 4)
        if (texts[index], texts[index + 2], texts[index + 3], texts[index + 4]) == ("{", ":", "Identifier", "}")
    ]


def without_password(statement: Statement, password: str) -> Statement:
    """A dictionary's definition without this server's password: inside the engine the user has none.

    Clients such as dbt write their login into it. The engine would store it and refuse it when loading the dictionary.
    """
    if not any(token.word == "DICTIONARY" for token in statement.tokens[:6]):
        return statement
    pairs = zip(statement.tokens, statement.tokens[1:], strict=False)
    edits = [
        (token, "''")
        for before, token in pairs
        if before.word == "PASSWORD" and token.kind == "string" and token.value == password
    ]
    return parse(_replaced(statement.text, edits)) if edits else statement


def with_client_ids(statement: Statement) -> Statement:
    """The statement with the clients' query ids, where it reads running queries or the query log, or kills queries."""
    edits: list[tuple[Token, str]] = []
    if statement.kind == "KILL":
        edits = _query_ids(statement.tokens)
    elif statement.is_select:
        edits = _system_tables(statement.tokens)
    return parse(_replaced(statement.text, edits)) if edits else statement


def _query_ids(found: tuple[Token, ...]) -> list[tuple[Token, str]]:
    return [(token, f"({CLIENT_ID})") for token in found if token.name == "query_id"]


def _system_tables(found: tuple[Token, ...]) -> list[tuple[Token, str]]:
    """Replace the tables ``system.processes`` and ``query_log`` by their views; columns keep their names."""
    edits = []
    for index in range(2, len(found)):
        database, dot, table = found[index - 2 : index + 1]
        if database.name == "system" and dot.text == "." and table.name in VIEWS:
            follows_dot = index + 1 < len(found) and found[index + 1].text == "."
            if not follows_dot:
                edits.append((table, VIEWS[table.name]))
    return edits


def _replaced(text: str, edits: list[tuple[Token, str]]) -> str:
    return _edited(text, [(token.start, token.end, replacement) for token, replacement in edits])


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    """``text`` after replacements (start, end, new text), which are in order and do not overlap."""
    parts: list[str] = []
    position = 0
    for start, end, replacement in edits:
        parts += [text[position:start], replacement]
        position = end
    return "".join([*parts, text[position:]])
