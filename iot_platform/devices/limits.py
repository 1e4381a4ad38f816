"""The upper limit of one reading: default, per building type, per device."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from clickhouse_connect.driver.client import Client

from iot_platform.devices.refresh import reload_dictionaries
from iot_platform.errors import PlatformError

Scope = Literal["default", "building_type", "device"]

LARGEST_LIMIT_KWH = 1e9
DICTIONARY = "device_limits"


@dataclass(frozen=True)
class Limit:
    """Readings of ``max_kWh`` or more are refused by L2. ``key``: empty, a building type, or a device_id."""

    scope: Scope
    key: str
    max_kWh: float


def set_limit(client: Client, scope: Scope, key: str, max_kWh: float) -> None:
    """Store a limit (the newest of a scope and key holds) and let the views see it.

    It reaches new readings at once and older ones with the next proof of their day. Raises PlatformError when the
    limit or its key makes no sense; nothing is changed then.
    """
    _check(scope, key)
    if not (math.isfinite(max_kWh) and 0 < max_kWh <= LARGEST_LIMIT_KWH):
        raise PlatformError(f"Limit {max_kWh:g} kWh: give more than 0 and at most {LARGEST_LIMIT_KWH:,.0f} kWh.")
    _store(client, Limit(scope, key, max_kWh), is_removed=False)


def remove_limit(client: Client, scope: Scope, key: str = "") -> None:
    """Let the next more general limit hold again. Raises PlatformError when there is no such limit."""
    _check(scope, key)
    known = limits(client)
    found = next((limit for limit in known if (limit.scope, limit.key) == (scope, key)), None)
    if found is None:
        names = ", ".join(f"{limit.scope} {limit.key}".strip() for limit in known) or "none"
        raise PlatformError(f"There is no limit for {scope} {key!r}. Limits: {names}.")
    _store(client, found, is_removed=True)


def limits(client: Client) -> list[Limit]:
    """All limits in use, the most general first. Without any the built-in default of the dictionary holds."""
    rows = client.query(
        "SELECT toString(power_limits.scope), key, max_kWh FROM power_limits FINAL WHERE NOT is_removed "
        "ORDER BY power_limits.scope, key"
    ).result_rows
    return [Limit(*row) for row in rows]


def _check(scope: Scope, key: str) -> None:
    if scope not in get_args(Scope):
        raise PlatformError(f"Limit for {scope!r}: the scope is one of {', '.join(get_args(Scope))}.")
    if scope == "default" and key:
        raise PlatformError(f"The default limit has no key, but was given {key!r}.")
    if scope == "building_type" and not key.strip():
        raise PlatformError("A limit per building type needs the building type.")
    if scope == "device" and not (re.fullmatch(r"[1-9][0-9]{0,9}", key) and int(key) < 2**32):
        raise PlatformError(f"Limit for device {key!r}: give its device_id, a whole number from 1 to 4,294,967,295.")


def _store(client: Client, limit: Limit, *, is_removed: bool) -> None:
    client.insert(
        "power_limits",
        [[limit.scope, limit.key, limit.max_kWh, int(is_removed)]],
        column_names=["scope", "key", "max_kWh", "is_removed"],
    )
    reload_dictionaries(client, DICTIONARY)
