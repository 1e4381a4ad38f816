"""Refuse statements with which clients would reach files, other hosts or programs, or stop the server.

Three protections are independent of each other. The engine runs without the grants for sources, shutdown and backups
(config.py). The guard checks each statement as the engine's own parser rendered it (statement_checker.py). It refuses
more than the engine does, and its message says what it refused. The kernel confines the whole process to its data
directory (lockdown.py). The guard is sufficient without the other two, and so is the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from iot_platform.clickhouse_embedded import allowed
from iot_platform.clickhouse_embedded.denied import denied
from iot_platform.clickhouse_embedded.hidden_sql import HiddenSql
from iot_platform.clickhouse_embedded.lexer import Token, tokens, with_depth
from iot_platform.clickhouse_embedded.settings_guard import SettingsGuard

_NAMES_A_TABLE = frozenset({"INTO", "INDEX", "PROJECTION", "CONSTRAINT", "COLUMN", "EXISTS", "VIEW", "DICTIONARY"})
_OF_OBJECTS = frozenset({"CREATE", "ALTER", "DROP", "ATTACH", "DETACH", "REPLACE", "TRUNCATE", "UNDROP"})


class Guard:
    """Refuses statements that reach outside the database."""

    def __init__(
        self,
        table_functions: Collection[str],
        engines: Collection[str],
        settings: Iterable[tuple[str, str]],
        render: Callable[[str], str],
    ) -> None:
        """All table functions, engines and settings (with their types) of the engine, and its own parser."""
        known = {name.lower() for name in table_functions}
        self._denied = frozenset((known - allowed.TABLE_FUNCTIONS) | allowed.UNSAFE_FUNCTIONS)
        self._engines = {name.lower() for name in engines}
        self._hidden = HiddenSql(lambda sql: self.check(tuple(tokens(render(sql)))), self._denied)
        self._settings = SettingsGuard(settings, self._hidden.check_condition)

    def check(self, statement: tuple[Token, ...]) -> None:
        """Raise ACCESS_DENIED when the statement reaches outside the database."""
        kind = statement[0].word or statement[0].text
        _check_kind(kind, statement)
        _check_clauses(statement)
        for index, token in _calls(statement):
            if token.name.lower() in self._denied and not _is_definition(statement, index, kind):
                raise denied(f"{token.name}()")
        for token in _given_as_function(statement):
            if token.text == "{":
                raise denied("A query parameter as a function")
            if token.name.lower() in self._denied:
                raise denied(f"{token.name} as a function")
        self._settings.check(statement)
        self._hidden.check(statement)
        if kind in _OF_OBJECTS:
            self._check_engine(statement)

    def check_setting(self, name: str, value: str) -> None:
        """Raise ACCESS_DENIED for a setting of the URL that a client may not give."""
        self._settings.check_value(name, tuple(tokens(value)))

    def refused_word(self, values: str) -> str:
        """A word in data of the format Values because of which expressions are refused; empty: they are allowed."""
        return self._hidden.query_word(values)

    def _check_engine(self, statement: tuple[Token, ...]) -> None:
        """Check ``ENGINE = X``. A column may also be named engine."""
        for index, token, depth in with_depth(statement[:-1]):
            if depth == 0 and _begins_select(statement, index):
                return
            if token.word != "ENGINE" or depth:
                continue
            assigned = statement[index + 1].text == "="
            engine = statement[min(index + 1 + assigned, len(statement) - 1)].name
            # Replicated tables need a Keeper. Without one the engine itself refuses them.
            name = engine.lower().removeprefix("replicated")
            if name not in allowed.ENGINES and name and (assigned or name in self._engines):
                raise denied(f"ENGINE {engine}")


def _calls(statement: tuple[Token, ...]) -> Iterator[tuple[int, Token]]:
    """Names directly before a parenthesis."""
    for index in range(len(statement) - 1):
        if statement[index + 1].text == "(" and statement[index].name:
            yield index, statement[index]


def _given_as_function(statement: tuple[Token, ...]) -> Iterator[Token]:
    """Names that the engine may interpret as a function without a parenthesis: APPLY(f), arrayMap(f, a).

    For a name that is a query parameter, ``{f:Identifier}``, the token of the brace.
    """
    for index, token in enumerate(statement):
        is_parameter = token.text == "{" and index + 3 < len(statement) and statement[index + 3].text == "Identifier"
        if not token.name and not is_parameter:
            continue
        opening = index
        while opening and statement[opening - 1].text == "(":
            opening -= 1
        before = statement[opening - 1] if opening else None
        after = statement[index + 1].text if index + 1 < len(statement) else ""
        if before is None:
            continue
        higher_order = opening < index and after != "." and before.name.lower().startswith(("array", "map"))
        if before.word == "APPLY" or (higher_order and _has_more(statement, opening)):
            yield token


def _has_more(statement: tuple[Token, ...], opening: int) -> bool:
    """Whether the call has more than one argument. With one argument it takes no function."""
    for _, token, depth in with_depth(statement, opening):
        if depth == 0 or (depth == 1 and token.text == ","):
            return depth > 0
    return False


def _begins_select(statement: tuple[Token, ...], index: int) -> bool:
    """Whether a SELECT begins here: ``CREATE TABLE select`` and ``AS select.t`` only name something."""
    before, after = statement[index - 1], statement[index + 1]
    if statement[index].word != "SELECT" or after.text == ".":
        return False
    return before.word == "AS" or before.text == ")"


def _is_definition(statement: tuple[Token, ...], index: int, kind: str) -> bool:
    """``INSERT INTO url (a)``, ``CREATE TABLE url (a ...)``, ``db.file (``: a table's name, not a call."""
    before = statement[index - 1] if index else None
    if before is None:
        return False
    if before.text == "." or before.word in _NAMES_A_TABLE:
        return True
    if before.word == "TO":  # CREATE MATERIALIZED VIEW v TO url (a ...)
        return kind in ("CREATE", "ATTACH")
    return before.word == "TABLE" and kind in ("CREATE", "ATTACH", "REPLACE", "INSERT", "ALTER")


def _check_kind(kind: str, statement: tuple[Token, ...]) -> None:
    if kind not in allowed.STATEMENTS:
        raise denied(kind)
    if kind in _OF_OBJECTS:
        _check_object(kind, statement)
    if kind in ("DROP", "DETACH", "RENAME", "TRUNCATE") and _names_needed_database(statement):
        # Every new handle starts in "default": without it no client could connect. Grants protect "system".
        raise denied(f"{kind} DATABASE of default, system or a query parameter")
    if kind == "SYSTEM":
        action = " ".join(token.text.upper() for token in statement[1:3])
        if not action.startswith(allowed.SYSTEM_COMMANDS):
            raise denied(f"SYSTEM {action}")
    if kind == "ATTACH":
        for before, token in zip(statement, statement[1:], strict=False):
            if before.word == "FROM" and token.kind == "string":
                raise denied("ATTACH ... FROM a path")


def _check_object(kind: str, statement: tuple[Token, ...]) -> None:
    """Allow CREATE, ALTER, DROP ... of tables and the like; refuse users, named collections and programs."""
    for token in statement[1:]:
        if token.word in allowed.OBJECTS:
            break
        if token.word not in allowed.OBJECT_ADJECTIVES:
            raise denied(f"{kind} {token.text}")
    is_function = kind == "CREATE" and any(token.word == "FUNCTION" for token in statement[1:4])
    if is_function and any(token.word == "LANGUAGE" for token in statement[2:8]):
        raise denied("A function in another language")


def _names_needed_database(statement: tuple[Token, ...]) -> bool:
    if len(statement) < 3 or statement[1].word != "DATABASE":
        return False
    return any(token.name.lower() in ("default", "system") or token.text == "{" for token in statement[2:])


def _check_clauses(statement: tuple[Token, ...]) -> None:
    for before, token in zip(statement, statement[1:], strict=False):
        pair = f"{before.word} {token.word}"
        if pair in ("INTO OUTFILE", "FROM INFILE", "PARALLEL WITH"):
            raise denied(pair)
