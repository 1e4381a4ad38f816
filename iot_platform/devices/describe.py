"""Describe a refresh in words and numbers, for the command line and Dagster."""

from __future__ import annotations

from typing import Any

import pandas as pd

from iot_platform.devices.contract import EPOCH
from iot_platform.devices.energy import EnergyChange
from iot_platform.devices.versions import ATTRIBUTES, OLD

CHANGE_COLUMNS = ("device", "from", "until", "change", "what")
ENERGY_COLUMNS = ("customer", "kWh before", "kWh after", "difference")

# Closed devices come first, because only the beginning of a long list is shown.
_ORDER = ["closed", "changed", "new"]


def change_rows(changes: pd.DataFrame, most: int | None = None) -> list[tuple[str, ...]]:
    """Rows of a table with CHANGE_COLUMNS: the changes of a RefreshResult; at most ``most``."""
    order = pd.Categorical(changes["change"], _ORDER)
    first = changes.assign(order=order).sort_values(["order", "device_id", "valid_from"], kind="stable")[:most]
    return [
        (
            row["meter"],
            "ever" if row["valid_from"] == EPOCH else _time(row["valid_from"]),
            "open" if pd.isna(row["valid_to"]) else _time(row["valid_to"]),
            row["change"],
            _what(row),
        )
        for row in first.to_dict("records")
    ]


def energy_rows(energy: EnergyChange, most: int | None = None) -> list[tuple[str, ...]]:
    """Rows of a table with ENERGY_COLUMNS: customers whose energy changed (at most ``most``), then all customers."""
    rows = [
        (each.customer_id or "(without metadata)", each.kWh_before, each.kWh_after)
        for each in energy.customers()[:most]
    ]
    rows.append(("all customers", *energy.total()))
    return [(name, f"{before:,.3f}", f"{after:,.3f}", f"{after - before:+,.3f}") for name, before, after in rows]


def bounded(shown: int, total: int, things: str) -> str:
    """The note below a list that is cut; empty if it is complete."""
    return f"{shown:,} of {total:,} {things} are shown." if shown < total else ""


def _time(time: pd.Timestamp) -> str:
    return time.strftime("%Y-%m-%d %H:%M")


def _what(row: dict[Any, Any]) -> str:
    old, new = ([row[column] for column in columns] for columns in (OLD, ATTRIBUTES))
    had_metadata = not pd.isna(old[0])
    if row["change"] == "closed":
        return f"was {_listed(old)}" if had_metadata else "was not valid yet"
    if not had_metadata:
        return _listed(new)
    differing = [
        f"{name}: {_word(before)} -> {_word(after)}"
        for name, before, after in zip(ATTRIBUTES, old, new, strict=True)
        if before != after
    ]
    return ", ".join(differing) or f"as before: {_listed(new)}"


def _listed(values: list[object]) -> str:
    return ", ".join(map(_word, values))


def _word(value: object) -> str:
    # Names may contain line breaks, which would break the table.
    return repr(value).removesuffix(".0") if isinstance(value, float) else " ".join(str(value).split())
