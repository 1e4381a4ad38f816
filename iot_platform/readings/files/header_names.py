"""The names by which columns are recognized, from header_names.toml."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Literal

Subject = Literal[
    "time", "end", "date", "date_end", "clock", "clock_end", "part_of_day", "meter", "value", "power", "unit"
]
# Letters that Unicode does not take apart into a letter and an accent.
_LETTERS = str.maketrans({"ł": "l", "ø": "o", "æ": "ae", "å": "a", "đ": "d", "ß": "ss", "œ": "oe", "ı": "i"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_UNIT_AT_THE_END = re.compile(r"(?:_in)?_(?:[kmg]?wh?|[kmg]?j)$")
_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}")


def normal(name: str) -> str:
    """A name in lower case without accents, with _ for all other characters than letters and digits."""
    letters = unicodedata.normalize("NFKD", name.lower().translate(_LETTERS))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


@cache
def tiers(subject: Subject) -> list[frozenset[str]]:
    """The normal names of a subject; those of a later set count only if no column has one of an earlier set."""
    lists = _read()[subject]
    languages = [name for key, names in lists.items() if key not in ("first", "more") for name in names]
    return [_normal_names(names) for names in (lists["first"], lists.get("more", []), languages)]


@cache
def all_names(*subjects: Subject) -> frozenset[str]:
    """All normal names of subjects."""
    return frozenset[str]().union(*(names for subject in subjects for names in tiers(subject)))


def with_umlauts_apart(name: str) -> str:
    """A name in lower case with ae, oe and ue for umlauts."""
    return name.lower().translate(_UMLAUTS)


def without_unit(name: str) -> str:
    """The normal name of a column of values, without its unit: "verbrauch" of Verbrauch [kWh]."""
    return _UNIT_AT_THE_END.sub("", normal(_BRACKETS.sub(" ", name)))


def is_value(name: str) -> bool:
    """Whether a column is named as energy, or as power with its unit; also in a part of its name before or after " - ".

    Such a part tells channels and meters apart: "AT0010 - Verbrauch [kWh]".
    """
    parts = [part for part in name.split(" - ") if part.strip()] or [name]
    registers = tuple(f"{register}_" for register in all_names("register"))
    if any(f"{without_unit(part)}_".startswith(registers) for part in parts):
        return False
    return _is_value(name) or _is_value(parts[0]) or _is_value(parts[-1])


def _is_value(name: str) -> bool:
    plain = without_unit(name)
    names = all_names("value")
    return normal(name) in names or plain in names or (plain != normal(name) and plain in all_names("power"))


def _normal_names(names: Sequence[str]) -> frozenset[str]:
    return frozenset(normal(spelling) for name in names for spelling in (name, with_umlauts_apart(name)))


@cache
def _read() -> dict[Subject, dict[str, list[str]]]:
    text = resources.files(__package__ or "").joinpath("header_names.toml").read_text(encoding="utf-8")
    found: dict[Subject, dict[str, list[str]]] = {}
    for subject, lists in tomllib.loads(text).items():
        found[subject] = lists  # type: ignore[index]
    return found
