"""Spellings of building types: a limit for "office" does not hold for "Office", so both should be one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

NOTES_SHOWN = 5


def plain(name: str) -> str:
    """A building type without differences of case and blanks."""
    return " ".join(name.split()).casefold()


def normalized(types: pd.Series, wanted: Mapping[str, str]) -> pd.Series:
    """Building types, with those that ``wanted`` names replaced by what it says, whatever their case and blanks."""
    by_plain = {plain(name): replacement.strip() for name, replacement in wanted.items()}
    names = {name: by_plain.get(plain(name), name) for name in types.unique()}
    return types.map(names)


def spelling_notes(delivered: Iterable[str], stored: Iterable[str]) -> list[str]:
    """A sentence for each building type of a source that is also spelled in another way, there or in the database."""
    spellings: dict[str, set[str]] = {}
    for name in {*delivered, *stored}:
        spellings.setdefault(plain(name), set()).add(name)
    several = sorted({plain(name) for name in delivered if len(spellings[plain(name)]) > 1})
    notes = [
        f"Building types that differ only in case or blanks: {', '.join(map(repr, sorted(spellings[key])))}. A limit "
        f"for one is none for the others. To make them one: --building-type-as '{key}={key}', or IOT_BUILDING_TYPES."
        for key in several[:NOTES_SHOWN]
    ]
    return notes + ([f"And {len(several) - NOTES_SHOWN:,} more."] if len(several) > NOTES_SHOWN else [])
