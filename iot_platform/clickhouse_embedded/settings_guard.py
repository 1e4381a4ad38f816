"""Which settings a client may set: by the type of their values, and by name where the value is free text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from iot_platform.clickhouse_embedded.allowed import FILTERS, PLAIN_TYPES, TEXT_SETTINGS
from iot_platform.clickhouse_embedded.denied import denied
from iot_platform.clickhouse_embedded.errors import ClickHouseError
from iot_platform.clickhouse_embedded.lexer import Token, with_depth

_BEGINS = frozenset({"SETTINGS", "SETTING"})
_NEXT_CLAUSE = frozenset({"SELECT", "FORMAT", "UNION", "INTERSECT", "EXCEPT", "WHERE", "COMMENT", "AS"})


class SettingsGuard:
    """Checks settings of the URL and of SETTINGS clauses, SET and MODIFY SETTING."""

    def __init__(self, types: Iterable[tuple[str, str]], check_condition: Callable[[str], None]) -> None:
        """``types``: name and type of every setting; ``check_condition`` raises for a filter's condition."""
        self._refused = {name for name, kind in types if kind not in PLAIN_TYPES and name not in TEXT_SETTINGS}
        self._check_condition = check_condition

    def check(self, statement: tuple[Token, ...]) -> None:
        """Raise ACCESS_DENIED for a setting that a client may not give, anywhere in the statement."""
        for name, value in assignments(statement):
            if name == FILTERS:
                self._check_filters(value)
            elif name in self._refused:
                raise refused(name)
        for name in _names_in_settings_clauses(statement):
            if name in self._refused and name != FILTERS:
                raise refused(name)

    def check_value(self, name: str, tokens: tuple[Token, ...]) -> None:
        """The same for a setting of the URL; ``tokens``: those of its value."""
        if name == FILTERS:
            self._check_filters(tokens)
        elif name in self._refused:
            raise refused(name)

    def _check_filters(self, value: tuple[Token, ...]) -> None:
        """Accept only ``{'table': 'condition', ...}`` with literals, because a computed value cannot be checked."""
        braces = value and value[0].text == "{"
        inner = value[1:-1] if braces else value
        for position, token in enumerate(inner):
            expected = ("string", ":", "string", ",")[position % 4]
            if not braces or (token.kind != "string" if expected == "string" else token.text != expected):
                raise denied(f"The setting {FILTERS} with anything but {{'table': 'condition'}}")
            if position % 4 == 2:
                self._check_condition(token.value)


def refused(name: str) -> ClickHouseError:
    """The error for a setting that clients may not set."""
    return denied(f"The setting {name}")


def assignments(statement: tuple[Token, ...]) -> Iterator[tuple[str, tuple[Token, ...]]]:
    """All ``name = value`` of the statement's settings. The value of a name without one is empty."""
    index = 0
    while index < len(statement):
        token = statement[index]
        index += 1
        is_set = token.word == "SET" and index == 1
        if token.word in _BEGINS or is_set:
            yield from _list(statement, index + (index < len(statement) and statement[index].text == "("))


def _names_in_settings_clauses(statement: tuple[Token, ...]) -> Iterator[str]:
    """Every name that gets a value between SETTINGS and the next clause, whatever else is between them."""
    begin = 0
    inside = False
    for index, token, depth in with_depth(statement[:-1]):
        if token.word in _BEGINS or (token.word == "SET" and index == 0):
            inside, begin = True, depth
        elif depth < begin or token.word in _NEXT_CLAUSE:
            inside = False
        elif inside and token.name and statement[index + 1].text == "=":
            yield token.name


def _list(statement: tuple[Token, ...], index: int) -> Iterator[tuple[str, tuple[Token, ...]]]:
    while index < len(statement) and statement[index].name:
        name, index = statement[index].name, index + 1
        end = index
        if index < len(statement) and statement[index].text == "=":
            index += 1
            end = _end_of_value(statement, index)
        yield name, statement[index:end]
        if end >= len(statement) or statement[end].text != ",":
            return
        index = end + 1


def _end_of_value(statement: tuple[Token, ...], index: int) -> int:
    """The end of a value: one token, a number with a sign or a point, or brackets, which may follow a name."""
    depth = 0
    begin = index
    while index < len(statement):
        token = statement[index]
        closes = token.text in (")", "]", "}")
        if depth == 0 and (closes or token.text == "," or (index > begin and token.kind in ("word", "string"))):
            break
        depth += (token.text in ("(", "[", "{")) - closes
        index += 1
    return index
