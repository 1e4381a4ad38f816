"""The subset of Liquid that is supported: if / elsif / else / endif over ``view.field._in_query``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from iot_platform.errors import LookmlError

_MARK = re.compile(r"{%-?\s*(.*?)\s*-?%}", re.DOTALL)
_ATOM = re.compile(r"([a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*)\._in_query")


@dataclass(frozen=True)
class Condition:
    """Holds if any (or all) of the fields are in the query; ``else`` has no fields and always holds."""

    fields: tuple[str, ...]
    needs_all: bool = False

    def holds(self, in_query: frozenset[str]) -> bool:
        """Whether the condition holds for a query with these fields."""
        return not self.fields or (all if self.needs_all else any)(name in in_query for name in self.fields)


@dataclass
class Branching:
    """One if ... endif: its conditions in order, each with what it inserts."""

    branches: list[tuple[Condition, list[str | Branching]]] = field(default_factory=list)


@dataclass(frozen=True)
class Template:
    """A parsed text; ``render`` fills it in for a query."""

    parts: list[str | Branching]

    def render(self, in_query: frozenset[str]) -> str:
        """The text for a query that selects or filters on exactly these fields (``view.field``)."""
        return "".join(_render(self.parts, in_query)).strip()

    def fields(self) -> set[str]:
        """All fields that the conditions name."""
        return {name for branching in _branchings(self.parts) for c, _ in branching.branches for name in c.fields}

    def texts(self) -> set[str]:
        """Every text that can result, provided that each branch is a complete text."""
        texts = [part for part in self.parts if isinstance(part, str)]
        texts += [
            part
            for branching in _branchings(self.parts)
            for _, parts in branching.branches
            for part in parts
            if isinstance(part, str)
        ]
        return {text.strip() for text in texts if text.strip()}


def parse(text: str, where: str) -> Template:
    """Parse a LookML value; ``where`` names it. Raises LookmlError for any other tag, output or operator."""
    root: list[str | Branching] = []
    stack: list[Branching] = []
    parts, position = root, 0
    for mark in _MARK.finditer(text):
        parts.append(_plain(text[position : mark.start()], where))
        position = mark.end()
        word, _, rest = mark.group(1).partition(" ")
        if word == "if":
            branching = Branching()
            parts.append(branching)
            stack.append(branching)
        elif not stack or word not in ("elsif", "else", "endif"):
            raise LookmlError(f"{where}: Liquid tag {{% {mark.group(1)} %}} is not supported.")
        if word == "endif":
            stack.pop()
            parts = stack[-1].branches[-1][1] if stack else root
            continue
        branches = stack[-1].branches
        if branches and not branches[-1][0].fields:
            raise LookmlError(f"{where}: {{% {mark.group(1)} %}} comes after {{% else %}}.")
        if (word == "else") != (not rest):
            raise LookmlError(f"{where}: Liquid tag {{% {mark.group(1)} %}} is not supported.")
        parts = []
        branches.append((_condition(rest, where) if rest else Condition(()), parts))
    if stack:
        raise LookmlError(f"{where}: a Liquid {{% if %}} has no {{% endif %}}.")
    parts.append(_plain(text[position:], where))
    return Template(root)


def _condition(text: str, where: str) -> Condition:
    words = text.split()
    operators = set(words[1::2])
    fields = [_ATOM.fullmatch(word) for word in words[::2]]
    # Liquid has no parentheses and evaluates from right to left, so a mix of `and` and `or` is probably a mistake.
    if operators - {"and", "or"} or len(operators) > 1 or len(words) % 2 == 0 or not all(fields):
        raise LookmlError(
            f"{where}: Liquid condition {text!r} is not supported. Supported: view.field._in_query, "
            "several of them with only `or` or only `and` between."
        )
    return Condition(tuple(match.group(1) for match in fields if match), operators == {"and"})


def _plain(text: str, where: str) -> str:
    for delimiter in ("{%", "%}", "{{", "}}"):
        if delimiter in text:
            raise LookmlError(f"{where}: Liquid {delimiter!r} in {text.strip()!r} is not supported.")
    return text


def _render(parts: list[str | Branching], in_query: frozenset[str]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
            continue
        for condition, inner in part.branches:
            if condition.holds(in_query):
                yield from _render(inner, in_query)
                break


def _branchings(parts: list[str | Branching]) -> Iterator[Branching]:
    for part in parts:
        if isinstance(part, Branching):
            yield part
            for _, inner in part.branches:
                yield from _branchings(inner)
