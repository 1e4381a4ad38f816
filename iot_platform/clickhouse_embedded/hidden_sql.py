"""Check SQL inside string literals: column lists of table functions, queries of dictionaries, filters.

The engine reads such a string as SQL, so it is checked as SQL: rendered by the engine's parser and checked like a
statement. A computed string cannot be checked, so only a literal is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from iot_platform.clickhouse_embedded.allowed import SOURCE_KEYS
from iot_platform.clickhouse_embedded.denied import denied
from iot_platform.clickhouse_embedded.errors import ACCESS_DENIED, ClickHouseError
from iot_platform.clickhouse_embedded.lexer import Token, with_depth, words

_WORD = re.compile(r"[A-Za-z_]\w*")
_NAME_QUOTES = frozenset('`"“')
# Table functions that take a column list, and perhaps data, as text.
_STRUCTURED = words("values format generaterandom input null fuzzjson")
_QUERIES = (_STRUCTURED - {"null"}) | {"select"}
# What may be computed within their arguments; a tuple of `values` may hold any expression.
_COMPUTED = words("generaterandomstructure")


class HiddenSql:
    """Finds and checks the SQL in the strings of a statement."""

    def __init__(self, check: Callable[[str], None], unsafe: frozenset[str]) -> None:
        """``check`` raises for SQL that is refused or cannot be parsed; ``unsafe``: functions in lower case."""
        self._check = check
        self._unsafe = unsafe

    def check(self, statement: tuple[Token, ...]) -> None:
        """Raise ACCESS_DENIED for strings of the statement that contain or may contain refused SQL."""
        for index, token in enumerate(statement[:-1]):
            if statement[index + 1].text != "(":
                continue
            name = token.name.lower()
            if name in _STRUCTURED and not _is_pattern(statement, index):
                found = list(arguments(statement, index + 1))
                self._check_structured(name, found, not _names_data_format(statement, found))
            elif token.word == "SOURCE":
                self._check_source(statement, index)
            elif token.word == "LAYOUT" and "SSD" in statement[min(index + 2, len(statement) - 1)].name.upper():
                raise denied("A dictionary layout on a disk")

    def check_condition(self, sql: str) -> None:
        """Check a condition that the engine puts into a WHERE clause."""
        self._check(f"SELECT 1 WHERE (\n{sql}\n)")

    def check_structure(self, text: str) -> None:
        """Check a list of columns. Text that cannot be parsed as one is harmless: the engine refuses it, too."""
        try:
            self._check(f"CREATE TABLE t (\n{text}\n) ENGINE = Memory")
        except ClickHouseError as error:
            if error.code == ACCESS_DENIED:
                raise

    def query_word(self, text: str) -> str:
        """The part of ``text`` that may name an unsafe function or begin a query; empty: there is none.

        A query is refused because table functions in it may take computed SQL.
        """
        if "{" in text and "Identifier" in text:
            return "a parameter of type Identifier"
        if "\\" in text and not _NAME_QUOTES.isdisjoint(text):  # a quoted name can spell any word with escapes
            return "something quoted and a backslash"
        found = set(map(str.lower, _WORD.findall(text))) & (self._unsafe | _QUERIES)
        return min(found, default="")

    def _check_structured(self, name: str, found: list[tuple[Token, ...]], expressions: bool) -> None:
        """Check the arguments of a table function; ``expressions``: whether its data may contain expressions."""
        for position, argument in enumerate(found):
            for token in argument:
                if token.kind == "string" and (name != "values" or position == 0):
                    self.check_structure(token.value)
                    may_call = name == "format" and expressions and "(" in token.value
                    if may_call and (word := self.query_word(token.value)):
                        raise denied(f"{word} in the data of format()")
            if name == "values":
                if position == 0 and not _is_literal(argument) and not _is_row(argument):
                    raise denied("A computed column list in values()")
            elif not _is_plain(argument):
                raise denied(f"A computed argument of {name}()")

    def _check_source(self, statement: tuple[Token, ...], index: int) -> None:
        source = statement[index + 2] if index + 2 < len(statement) else statement[index]
        if source.name.upper() not in ("CLICKHOUSE", "NULL"):
            raise denied(f"dictionary source {source.text}")
        key = ""
        for token in list(_enclosed(statement, index + 1))[2:]:
            if token.name.upper() in SOURCE_KEYS and not key:
                key = token.name.upper()
            elif key and token.kind in ("string", "number", "word", "quoted"):
                self._check_source_value(key, token.value if token.kind == "string" else token.name or token.text)
                key = ""
            elif token.text not in ("(", ")"):
                raise denied(f"{token.text} in a dictionary source")

    def _check_source_value(self, key: str, value: str) -> None:
        if key in ("QUERY", "INVALIDATE_QUERY"):
            self._check(value)
        elif key == "WHERE":
            self.check_condition(value)
        elif key == "UPDATE_FIELD" and not _WORD.fullmatch(value):
            raise denied("An expression as UPDATE_FIELD")


def arguments(statement: tuple[Token, ...], opening: int) -> Iterator[tuple[Token, ...]]:
    """The arguments of the call whose opening parenthesis is at ``opening``."""
    begin = opening + 1
    for index, token, depth in with_depth(statement, opening):
        if depth == 0 or (depth == 1 and token.text == ","):
            if begin < index:
                yield statement[begin:index]
            begin = index + 1
        if depth == 0:
            return


def _enclosed(statement: tuple[Token, ...], opening: int) -> Iterator[Token]:
    for _, token, depth in with_depth(statement, opening):
        if depth == 0:
            return
        yield token


def _is_pattern(statement: tuple[Token, ...], index: int) -> bool:
    """Whether this is the function format('... {} ...', a, b), not the table function of that name."""
    first = statement[index + 2] if index + 2 < len(statement) else statement[index]
    before = statement[index - 1].word if index else ""
    is_function = statement[index].name.lower() == "format" and before not in ("FROM", "JOIN", "FUNCTION", "TABLE")
    return is_function and first.kind == "string" and "{" in first.value


def _names_data_format(statement: tuple[Token, ...], found: list[tuple[Token, ...]]) -> bool:
    """Whether format(NAME, ...) reads data without expressions: NAME is not Values and not an alias."""
    if not found or len(found[0]) != 1 or not found[0][0].name:
        return False
    name = found[0][0].name.lower()
    return name != "values" and sum(token.name.lower() == name for token in statement) == 1


def _is_literal(argument: tuple[Token, ...]) -> bool:
    """Whether it is a string, or a number that may have a sign and a fraction."""
    if len(argument) == 1:
        return argument[0].kind in ("string", "number")
    return all(token.kind == "number" or token.text in ("-", ".") for token in argument)


def _is_row(argument: tuple[Token, ...]) -> bool:
    """Whether it is a tuple of two or more values, or tuple(...), which is never a string."""
    if argument[0].name.lower() == "tuple" and len(argument) > 1:
        argument = argument[1:]
    elif len(list(arguments(argument, 0))) < 2 and not any("," in token.text for token in argument):
        return False
    return argument[0].text == "(" and len(list(_enclosed(argument, 0))) == len(argument) - 1


def _is_plain(argument: tuple[Token, ...]) -> bool:
    """Whether it is a literal, a name, or a call of a function that returns harmless text."""
    if argument[0].name.lower() in _COMPUTED:
        return True
    return _is_literal(argument) or (len(argument) == 1 and bool(argument[0].name))
