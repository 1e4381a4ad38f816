"""Compile Looker's filter expressions to SQL conditions with bound values.

Grammar: https://cloud.google.com/looker/docs/filter-expressions.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from iot_platform.errors import FilterError
from iot_platform.looker.dates import is_finer, parse_dates
from iot_platform.looker.timeframes import Grammar

_NUMBER = r"-?(?:\d+\.?\d*|\.\d+)"
_COMPARISON = re.compile(rf"(>=|<=|>|<)\s*({_NUMBER})")
_RANGE = re.compile(rf"({_NUMBER})\s+to\s+({_NUMBER})", re.IGNORECASE)
_BRACKETS = re.compile(rf"([\[(])\s*({_NUMBER}|-inf)?\s*,\s*({_NUMBER}|inf)?\s*([\])])", re.IGNORECASE)
_NOT = re.compile(r"\s*(?:NOT\b|!=|<>)", re.IGNORECASE)
_POINT = re.compile(rf"\s*({_NUMBER})\s*,\s*({_NUMBER})\s*")
_BOX = re.compile(
    rf"inside box from\s+({_NUMBER})\s*,\s*({_NUMBER})\s+to\s+({_NUMBER})\s*,\s*({_NUMBER})", re.IGNORECASE
)


@dataclass
class Values:
    """The bound values of a query, by name: {p0:Type}, {p1:Type}, ..."""

    parameters: dict[str, object] = field(default_factory=dict)

    def bind(self, value: object, kind: str) -> str:
        """Add a value of a ClickHouse type; returns the placeholder that stands for it in the SQL."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{kind}}}"


def condition(
    grammar: Grammar, parts: Mapping[str, str], expression: str, values: Values, now: dt.datetime
) -> str | None:
    """The SQL condition of an expression on a field, given the SQL of the field's parts; None: no condition.

    Raises FilterError when the expression cannot be parsed or does not suit the field.
    """
    if not expression.strip(" "):
        return None
    if grammar == "location":
        return _location(parts["latitude"], parts["longitude"], expression, values)
    (sql,) = parts.values()
    if grammar == "yesno":
        return _yesno(sql, expression)
    if grammar == "numbers":
        return _numbers(sql, expression, values)
    if grammar == "strings":
        return _strings(sql, expression, values)
    return _times(sql, expression, values, now, "day" if grammar == "days" else "hour")


def _times(sql: str, expression: str, values: Values, now: dt.datetime, unit: str) -> str | None:
    terms = []
    for interval in parse_dates(expression, now):
        if is_finer(expression, interval, unit):
            advice = "filter on the timeframe hour instead" if unit == "day" else "the tables hold whole hours"
            raise FilterError(f"The time filter {expression!r} is finer than the {unit} of this field; {advice}.")
        bounds = (">=", interval.start), ("<", interval.end)
        terms.append(
            " AND ".join(
                f"{sql} {operator} toDateTime({values.bind(f'{bound:%Y-%m-%d %H:%M:%S}', 'String')}, 'UTC')"
                for operator, bound in bounds
                if bound
            )
        )
    return _any(terms) if terms else None


def _yesno(sql: str, expression: str) -> str:
    word = expression.strip().lower()
    if word not in ("yes", "no"):
        raise FilterError(f"The filter {expression!r} on a yes/no field must be Yes or No.")
    return sql if word == "yes" else f"NOT ({sql})"


def _location(latitude: str, longitude: str, expression: str, values: Values) -> str:
    if match := _POINT.fullmatch(expression):
        numbers = [values.bind(float(number), "Float64") for number in match.groups()]
        return f"{latitude} = {numbers[0]} AND {longitude} = {numbers[1]}"
    if match := _BOX.fullmatch(expression.strip()):
        south, west, north, east = map(float, match.groups())
        sides = ((latitude, *sorted((south, north))), (longitude, *sorted((west, east))))
        return " AND ".join(
            f"{sql} BETWEEN {values.bind(low, 'Float64')} AND {values.bind(high, 'Float64')}"
            for sql, low, high in sides
        )
    raise FilterError(
        f"The location filter {expression!r} cannot be parsed. Supported: LATITUDE, LONGITUDE and "
        "inside box from LATITUDE, LONGITUDE to LATITUDE, LONGITUDE."
    )


def _numbers(sql: str, expression: str, values: Values) -> str:
    """Numbers, comparisons and intervals; commas and OR join alternatives, AND joins two comparisons."""
    wanted, unwanted, equal, unequal = list[str](), list[str](), list[str](), list[str]()
    # The comma in [1,5] does not separate alternatives.
    for term in re.split(r",(?![^\[(]*[\])])|\s+OR\s+", expression, flags=re.IGNORECASE):
        negation = _NOT.match(term)
        positive = term[negation.end() :].strip() if negation else term.strip()
        if re.fullmatch(_NUMBER, positive):
            (unequal if negation else equal).append(positive)
            continue
        parts = re.split(r"\s+AND\s+", positive, flags=re.IGNORECASE)
        found = " AND ".join(_number(sql, part, expression, values) for part in parts)
        (unwanted if negation else wanted).append(found)
    for numbers, conditions in ((equal, wanted), (unequal, unwanted)):
        if numbers:
            conditions.append(f"{sql} {'IN' if len(numbers) > 1 else '='} {_bound(numbers, values)}")
    return _any_but_none(wanted, unwanted)


def _number(sql: str, term: str, expression: str, values: Values) -> str:
    if match := _COMPARISON.fullmatch(term):
        return f"{sql} {match[1]} {_bound([match[2]], values)}"
    if match := _RANGE.fullmatch(term):
        return f"{sql} >= {_bound([match[1]], values)} AND {sql} <= {_bound([match[2]], values)}"
    if match := _BRACKETS.fullmatch(term):
        opening, low, high, closing = match.groups()
        bounds = [f"{sql} {'>=' if opening == '[' else '>'} {_bound([low], values)}"] if low and low != "-inf" else []
        if high and high != "inf":
            bounds.append(f"{sql} {'<=' if closing == ']' else '<'} {_bound([high], values)}")
        if bounds:
            return " AND ".join(bounds)
    if term.upper() == "NULL":
        return f"{sql} IS NULL"
    raise FilterError(
        f"The number filter {expression!r} cannot be parsed at {term!r}. Examples: 5, NOT 5, 1,2,3, >5, "
        ">=5 AND <10, 1 to 5, [1,5), NULL, NOT NULL."
    )


def _bound(numbers: list[str], values: Values) -> str:
    """Bind one number, or several as an array. Whole numbers stay integers, so that ClickHouse can use its keys."""
    is_whole_numbers = all(re.fullmatch(r"-?\d{1,18}", number) for number in numbers)
    kind = "Int64" if is_whole_numbers else "Float64"
    bound = [int(number) if is_whole_numbers else float(number) for number in numbers]
    return values.bind(bound, f"Array({kind})") if len(bound) > 1 else values.bind(bound[0], kind)


# Characters of a string filter, each with whether it is literal: quoted or escaped.
_Characters = list[tuple[str, bool]]


def _strings(sql: str, expression: str, values: Values) -> str:
    """Alternatives separated by commas; % and _ are wildcards, a leading - negates; EMPTY and NULL are keywords."""
    wanted, unwanted, equal, unequal = list[str](), list[str](), list[str](), list[str]()
    for term in _terms(expression):
        is_negated = term[0] == ("-", False)
        characters = term[1:] if is_negated else term
        conditions, texts = (unwanted, unequal) if is_negated else (wanted, equal)
        text = "".join(char for char, _ in characters)
        wildcards = [char for char, is_literal in characters if not is_literal and char in "%_"]
        keyword = text.upper() if not any(is_literal for _, is_literal in characters) else ""
        if keyword in ("EMPTY", "NULL"):
            conditions.append(f"({sql} IS NULL OR {sql} = '')" if keyword == "EMPTY" else f"{sql} IS NULL")
        elif wildcards:
            conditions.append(f"{sql} LIKE {values.bind(_like_pattern(characters), 'String')}")
        else:
            texts.append(text)
    for texts, conditions in ((equal, wanted), (unequal, unwanted)):
        if texts:
            conditions.append(f"{sql} IN {values.bind(texts, 'Array(String)')}")
    return _any_but_none(wanted, unwanted)


def _like_pattern(characters: _Characters) -> str:
    """The pattern for LIKE: literal % and _, and every backslash, get a backslash before them."""
    pattern = ""
    for char, is_literal in characters:
        if char == "\\" or (is_literal and char in "%_"):
            pattern += "\\"
        pattern += char
    return pattern


def _terms(expression: str) -> list[_Characters]:
    """The alternatives between the commas, without surrounding blanks."""
    terms: list[_Characters] = [[]]
    for char, is_literal in _characters(expression):
        if (char, is_literal) == (",", False):
            terms.append([])
        else:
            terms[-1].append((char, is_literal))
    for term in terms:
        while term and term[-1] == (" ", False):
            term.pop()
        while term and term[0] == (" ", False):
            term.pop(0)
        if not term or term == [("-", False)]:
            raise FilterError(
                f"The string filter {expression!r} has an empty alternative; write EMPTY to match empty text."
            )
    return terms


def _characters(expression: str) -> Iterator[tuple[str, bool]]:
    """Each character with whether it is literal: after ^, or between quotation marks."""
    is_quoted = False
    chars = iter(expression)
    for char in chars:
        if char == "^":
            literal = next(chars, None)
            if literal is None:
                raise FilterError(
                    f"The string filter {expression!r} ends with ^, which must be followed by a character."
                )
            yield literal, True
        elif char == '"':
            is_quoted = not is_quoted
        else:
            yield char, is_quoted
    if is_quoted:
        raise FilterError(f"The string filter {expression!r} has an unclosed quotation mark.")


def _any_but_none(wanted: list[str], unwanted: list[str]) -> str:
    """Any of the wanted conditions, if there are some, and none of the unwanted ones."""
    some = [_any(wanted)] if wanted else []
    return " AND ".join(some + [f"NOT ({term})" for term in unwanted])


def _any(terms: list[str]) -> str:
    return terms[0] if len(terms) == 1 else f"({' OR '.join(f'({term})' for term in terms)})"
