"""A definition without its sort: it makes the same rows where no reading arrived twice, and takes much less CPU.

L2's definition ends with ``ORDER BY ... LIMIT 1 BY keys``: of several rows with the same keys it keeps the first. Where
no two rows have the same keys it keeps all of them, so the text before ORDER BY makes the same rows in another order.
Only the text that ClickHouse stores is cut; what a proof runs is still the view's own text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from iot_platform.clickhouse_embedded.lexer import Token, tokens, with_depth, words

# Outside of brackets, the text before ORDER BY has these clauses, each once and in this order.
_CLAUSES = ["SELECT", "FROM", "WHERE"]
# Anywhere before ORDER BY these make a SELECT that is not of the known form. (In UNION or EXCEPT, for example, the last
# ORDER BY and LIMIT BY do not apply to all rows.)
_REFUSED = words(
    "WITH UNION INTERSECT EXCEPT DISTINCT GROUP HAVING WINDOW OVER QUALIFY JOIN LIMIT OFFSET FETCH SETTINGS"
)


@dataclass(frozen=True)
class Unsorted:
    """``select``: the definition up to its sort. ``keys``: names of the columns that it has one row of at most."""

    select: str
    keys: tuple[str, ...]


def without_sort(select: str) -> Unsorted | None:
    """Split ``SELECT ... FROM ... WHERE ... ORDER BY columns LIMIT 1 BY keys``. None if ``select`` has another form.

    The keys must be columns that the SELECT passes on unchanged: then they mean the same in the definition's source, in
    its result and in the layer's table.
    """
    found = list(tokens(select))
    top = [token for _, token, depth in with_depth(found) if depth == 0]
    order = next((n for n, (first, by) in enumerate(pairwise(top)) if (first.word, by.word) == ("ORDER", "BY")), None)
    if order is None:
        return None
    head, tail = top[:order], top[order + 2 :]
    limit = next((n for n, token in enumerate(tail) if token.word == "LIMIT"), None)
    if limit is None or [token.text.upper() for token in tail[limit : limit + 3]] != ["LIMIT", "1", "BY"]:
        return None
    before = [token for token in found if token.start < top[order].start]
    keys = _names(tail[limit + 3 :])
    if not keys or not _sorts_by_columns(tail[:limit]) or not _is_known_form(head, before):
        return None
    if not set(keys) <= _columns_passed_on(head, before):
        return None
    return Unsorted(select[: top[order].start].rstrip(), keys)


def _is_known_form(head: Sequence[Token], before: Sequence[Token]) -> bool:
    found = [token.word for token in before]
    return (
        bool(head)
        and head[0].word == "SELECT"
        and [token.word for token in head if token.word in _CLAUSES] == _CLAUSES
        and found.count("SELECT") == 1
        and not _REFUSED.intersection(found)
    )


def _columns_passed_on(head: Sequence[Token], before: Sequence[Token]) -> set[str]:
    """Columns of the source that the SELECT list names without an expression or an alias."""
    end = next(n for n, token in enumerate(head) if token.word == "FROM")
    items: list[list[Token]] = [[]]
    for token in head[1:end]:
        if token.text == ",":
            items.append([])
        else:
            items[-1].append(token)
    aliases = {second.name for first, second in pairwise(before) if first.word == "AS"}
    return {item[0].name for item in items if len(item) == 1 and item[0].name} - aliases


def _sorts_by_columns(items: Sequence[Token]) -> bool:
    """Whether the tokens are ``column [ASC|DESC], ...``: nothing that adds rows, as WITH FILL does."""
    return bool(_names([token for token in items if token.word not in ("ASC", "DESC")]))


def _names(items: Sequence[Token]) -> tuple[str, ...]:
    """The names in ``name, name, ...``; empty if the tokens are anything else."""
    names = items[::2]
    is_list = len(items) % 2 == 1 and all(token.text == "," for token in items[1::2])
    return tuple(token.name for token in names) if is_list and all(token.name for token in names) else ()
