"""Raw figures and what is said of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most of some figures."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def rates(rows: int, seconds: Sequence[float]) -> dict[str, float]:
    """Rows per second of equal pieces of work, each of ``rows`` rows."""
    return spread([rows / value for value in seconds])


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """How many times as fast as ``theirs`` ours is, from seconds taken in turn: what disturbs a round disturbs both."""
    return spread([other / own for own, other in zip(ours, theirs, strict=True)])


def text(found: dict[str, Any], digits: int = 0, between: str = " ") -> str:
    """``median (min - max)`` for a table."""
    median, low, high = (f"{found[name]:,.{digits}f}" for name in ("median", "min", "max"))
    return median if low == high else f"{median}{between}({low} - {high})"
