"""Summaries of raw figures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, minimum and maximum."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def rates(rows: int, seconds: Sequence[float]) -> dict[str, float]:
    """Rows per second, from the seconds of equal pieces of work of ``rows`` rows each."""
    return spread([rows / value for value in seconds])


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Speed of ``ours`` relative to ``theirs``, from seconds measured in turns: a disturbance affects both."""
    return spread([other / own for own, other in zip(ours, theirs, strict=True)])


def text(found: dict[str, Any], digits: int = 0, between: str = " ") -> str:
    """``median (min - max)`` for a table."""
    median, low, high = (f"{found[name]:,.{digits}f}" for name in ("median", "min", "max"))
    return median if low == high else f"{median}{between}({low} - {high})"
