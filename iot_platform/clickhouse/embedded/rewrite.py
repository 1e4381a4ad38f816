"""Changes to statements: names given as parameters, and the ids by which clients know their queries."""

from __future__ import annotations

from collections.abc import Mapping

from iot_platform.clickhouse.embedded.engine import CLIENT_ID, VIEWS, identifier
from iot_platform.clickhouse.embedded.lexer import Token, tokens
from iot_platform.clickhouse.embedded.statement import Statement, parse


def with_names(sql: str, params: Mapping[str, str]) -> str:
    """A client's text with each ``{name:Identifier}`` replaced by the name that ``params`` gives.

    The engine could do it, but its rendering of a statement (judge.py) drops those that stand as an alias.
    """
    if "Identifier" not in sql:
        return sql
    found = tuple(tokens(sql))
    for index in reversed(_named(found)):
        name = found[index + 1].text
        if name in params:
            sql = sql[: found[index].start] + identifier(params[name]) + sql[found[index + 4].end :]
    return sql


def lost_name(sql: str, rendered: tuple[Token, ...]) -> str:
    """The first ``{name:Identifier}`` of ``sql`` that the rendering has dropped; empty: none."""
    if "Identifier" not in sql:
        return ""
    before, after = tuple(tokens(sql)), [rendered[index + 1].text for index in _named(rendered)]
    for index in _named(before):
        name = before[index + 1].text
        if name not in after:
            return name
        after.remove(name)
    return ""


def _named(found: tuple[Token, ...]) -> list[int]:
    """Where ``{name:Identifier}`` begins."""
    texts = [token.text for token in found]
    return [
        index
        for index in range(len(texts) - 4)
        if (texts[index], texts[index + 2], texts[index + 3], texts[index + 4]) == ("{", ":", "Identifier", "}")
    ]


def without_password(statement: Statement, password: str) -> Statement:
    """A dictionary's definition without the login of this server: within the engine the user needs none.

    Clients such as dbt write theirs into it. The engine would store it, and refuse it when the dictionary is loaded.
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
