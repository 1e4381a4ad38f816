"""Write string filter expressions that match given values exactly."""

from __future__ import annotations

import re
from collections.abc import Iterable


def any_of(values: Iterable[str]) -> str:
    """The expression that matches exactly these values; without values, the one that matches everything."""
    return ",".join(map(_escaped, values))


def _escaped(value: str) -> str:
    if not value:
        return "EMPTY"
    if value.upper() in ("EMPTY", "NULL"):
        return f"^{value}"
    return re.sub(r'([\^",%_]|^-|^ | $)', r"^\1", value)
