"""Client query ids in statements: the engine knows queries by ids of its own (see engine.ID_SETTING)."""

from __future__ import annotations

from iot_platform.clickhouse.embedded.engine import CLIENT_ID, VIEWS
from iot_platform.clickhouse.embedded.lexer import Token
from iot_platform.clickhouse.embedded.statement import Statement, parse


def with_client_ids(statement: Statement) -> Statement:
    """The statement, with the client's query ids where it reads running queries, the query log, or kills."""
    edits: list[tuple[Token, str]] = []
    if statement.kind == "KILL":
        edits = _query_ids(statement.tokens)
    elif statement.is_select:
        edits = _system_tables(statement.tokens)
    return parse(_replaced(statement.text, edits)) if edits else statement


def _query_ids(found: tuple[Token, ...]) -> list[tuple[Token, str]]:
    return [(token, f"({CLIENT_ID})") for token in found if token.name == "query_id"]


def _system_tables(found: tuple[Token, ...]) -> list[tuple[Token, str]]:
    """``system.processes`` behind FROM, JOIN or a comma; ``system.processes.query_id``, a column, stays."""
    edits = []
    for index in range(2, len(found)):
        database, dot, table = found[index - 2 : index + 1]
        if database.name == "system" and dot.text == "." and table.name in VIEWS:
            follows_dot = index + 1 < len(found) and found[index + 1].text == "."
            if not follows_dot:
                edits.append((table, VIEWS[table.name]))
    return edits


def _replaced(text: str, edits: list[tuple[Token, str]]) -> str:
    for token, replacement in reversed(edits):
        text = text[: token.start] + replacement + text[token.end :]
    return text
