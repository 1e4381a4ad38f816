"""Upper limits of a reading's energy: a default, and limits per building type and per device."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from clickhouse_connect.driver.client import Client

from iot_platform.errors import PlatformError
from iot_platform.limits.limit_changes import AffectedReadings, limits_locked, store_limit

Scope = Literal["default", "building_type", "device"]

LARGEST_LIMIT_KWH = 1e9

# Readings that a limit of this scope may apply to: those with a more specific limit are left out.
_READINGS_OF = {
    "default": "device_id NOT IN (SELECT device_id FROM device_limit_values)",
    "building_type": "device_id IN (SELECT device_id FROM device_current_versions WHERE building_type = {key:String}) "
    "AND device_id NOT IN (SELECT toUInt32(power_limits.key) FROM power_limits FINAL "
    "WHERE scope = 'device' AND NOT is_removed)",
    "device": "device_id = toUInt32({key:String})",
}


@dataclass(frozen=True)
class Limit:
    """L2 refuses readings of ``max_kWh`` or more. ``key``: empty, a building type, or a device_id."""

    scope: Scope
    key: str
    max_kWh: float


def set_limit(client: Client, scope: Scope, key: str, max_kWh: float) -> set[str]:
    """Store a limit; it replaces an earlier one of the same scope and key.

    It applies to new readings at once, and to stored ones with the next proof of their day. Returns the partitions of
    the days that are unverified now. Raises PlatformError, without changing anything, if the limit or key is invalid.
    """
    _check(scope, key)
    if not (math.isfinite(max_kWh) and 0 < max_kWh <= LARGEST_LIMIT_KWH):
        raise PlatformError(f"Limit {max_kWh:g} kWh: give more than 0 and at most {LARGEST_LIMIT_KWH:,.0f} kWh.")
    with limits_locked(client):
        known = limits(client)
        limit = Limit(scope, key, max_kWh)
        return _store(client, limit, known, [*_without(known, scope, key), limit])


def remove_limit(client: Client, scope: Scope, key: str = "") -> set[str]:
    """Remove a limit, so that the next more general one applies. Returns the partitions that are unverified now.

    Raises PlatformError if there is no such limit.
    """
    _check(scope, key)
    with limits_locked(client):
        known = limits(client)
        found = next((limit for limit in known if (limit.scope, limit.key) == (scope, key)), None)
        if found is None:
            names = ", ".join(f"{limit.scope} {limit.key}".strip() for limit in known) or "none"
            raise PlatformError(f"There is no limit for {scope} {key!r}. Limits: {names}.")
        return _store(client, found, known, _without(known, scope, key), is_removed=True)


def limits(client: Client) -> list[Limit]:
    """All limits that were set, the most general first. Without any, the dictionary's built-in default applies."""
    rows = client.query(
        "SELECT toString(power_limits.scope), key, max_kWh FROM power_limits FINAL WHERE NOT is_removed "
        "ORDER BY power_limits.scope, key"
    ).result_rows
    return [Limit(*row) for row in rows]


def default_limit(client: Client, known: Sequence[Limit]) -> float:
    """The limit, in kWh, of devices without a more specific one: from the ``known`` limits, else the built-in one."""
    # Not from the dictionary: it may lack a stored default, if the change was killed before the reload.
    for limit in known:
        if limit.scope == "default":
            return limit.max_kWh
    # No device has this number, so the dictionary returns its built-in default.
    row = client.query(f"SELECT dictGet('device_limits', 'max_kWh', toUInt64({2**32}))").result_rows[0]
    return float(row[0])


def _check(scope: Scope, key: str) -> None:
    if scope not in get_args(Scope):
        raise PlatformError(f"Limit for {scope!r}: the scope is one of {', '.join(get_args(Scope))}.")
    if scope == "default" and key:
        raise PlatformError(f"The default limit has no key, but was given {key!r}.")
    if scope == "building_type" and not key.strip():
        raise PlatformError("A limit per building type needs the building type.")
    if scope == "device" and not (re.fullmatch(r"[1-9][0-9]{0,9}", key) and int(key) < 2**32):
        raise PlatformError(f"Limit for device {key!r}: give its device_id, a whole number from 1 to 4,294,967,295.")


def _store(
    client: Client, limit: Limit, before: list[Limit], after: list[Limit], *, is_removed: bool = False
) -> set[str]:
    row = {"scope": limit.scope, "key": limit.key, "max_kWh": limit.max_kWh, "is_removed": int(is_removed)}
    bounds = [_applicable_limit(client, limit.scope, limit.key, known) for known in (before, after)]
    affected = AffectedReadings(
        f"{_READINGS_OF[limit.scope]} AND power_usage_kWh >= {{low:Float64}} AND power_usage_kWh < {{high:Float64}} "
        "AND reject_reason IN ('', 'over_limit')",
        {"key": limit.key, "low": min(bounds), "high": max(bounds)},
    )
    reason = f"Limit of {limit.scope} {limit.key}".strip() + f": {bounds[0]:g} -> {bounds[1]:g} kWh"
    return store_limit(client, "power_limits", row, affected, reason)


def _without(known: list[Limit], scope: Scope, key: str) -> list[Limit]:
    return [limit for limit in known if (limit.scope, limit.key) != (scope, key)]


def _applicable_limit(client: Client, scope: Scope, key: str, known: list[Limit]) -> float:
    """The limit that applies to a scope and key: its own, else the next more general one."""
    values = {(limit.scope, limit.key): limit.max_kWh for limit in known}
    wanted: list[tuple[Scope, str]] = [(scope, key)]
    if scope == "device":
        rows = client.query(
            "SELECT building_type FROM device_current_versions WHERE device_id = toUInt32({device:String})",
            parameters={"device": key},
        ).result_rows
        wanted += [("building_type", str(row[0])) for row in rows]
    own = next((values[name] for name in wanted if name in values), None)
    return default_limit(client, known) if own is None else own
