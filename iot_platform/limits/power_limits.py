"""Upper limits of a reading's energy: a default, and limits per building type and per device, each from a time on.

A reading is judged by the limits of its time: that of the device, else that of the building type that the device had
then, else the default. A limit holds from its ``valid_from`` on, until it is set again from a later time on. To set it
from an earlier time on replaces what was set for later.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from clickhouse_connect.driver.client import Client

from iot_platform.errors import PlatformError
from iot_platform.limits.changed_limits import LIMITS, PERIODS, changed_by_limit
from iot_platform.limits.limit_changes import limits_locked, store_limit

Scope = Literal["default", "building_type", "device"]

LARGEST_LIMIT_KWH = 1e9
# A limit from this time on has always been valid.
ALWAYS = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LAST_TIME = dt.datetime.fromtimestamp(2**32 - 1, dt.UTC)


@dataclass(frozen=True)
class Limit:
    """L2 refuses readings of ``max_kWh`` or more. ``key``: empty, a building type, or a device_id.

    ``valid_from`` (UTC): the limit holds for readings from this time on, until ``valid_to`` (None: no end is known).
    """

    scope: Scope
    key: str
    max_kWh: float
    valid_from: dt.datetime = ALWAYS
    valid_to: dt.datetime | None = None


def set_limit(
    client: Client,
    scope: Scope,
    key: str,
    max_kWh: float,
    *,
    valid_from: dt.datetime = ALWAYS,
    dry_run: bool = False,
) -> dict[str, int]:
    """Store a limit; from ``valid_from`` (timezone-aware) on it replaces all earlier ones of the same scope and key.

    It applies to new readings at once, and to stored ones with the next proof of their day. Returns the number of
    stored readings that are judged otherwise, by partition; these days are unverified now. ``dry_run`` changes nothing.
    Raises PlatformError, without changing anything, if the limit, key or time is invalid.
    """
    _check(scope, key, valid_from)
    if not (math.isfinite(max_kWh) and 0 < max_kWh <= LARGEST_LIMIT_KWH):
        raise PlatformError(f"Limit {max_kWh:g} kWh: give more than 0 and at most {LARGEST_LIMIT_KWH:,.0f} kWh.")
    with limits_locked(client):
        return _store(client, Limit(scope, key, max_kWh, valid_from), is_removed=False, dry_run=dry_run)


def remove_limit(
    client: Client, scope: Scope, key: str = "", *, valid_from: dt.datetime = ALWAYS, dry_run: bool = False
) -> dict[str, int]:
    """Remove a limit from a time on, so that the next more general one applies. Returns and ``dry_run``: as above.

    Raises PlatformError if there is no such limit.
    """
    _check(scope, key, valid_from)
    with limits_locked(client):
        known = limits(client)
        of_key = [limit for limit in known if (limit.scope, limit.key) == (scope, key)]
        found = next((limit for limit in of_key if limit.valid_to is None or limit.valid_to > valid_from), None)
        if found is None:
            names = ", ".join(dict.fromkeys(f"{limit.scope} {limit.key}".strip() for limit in known)) or "none"
            when = "" if valid_from == ALWAYS else f" from {valid_from:%Y-%m-%d %H:%M} UTC on"
            raise PlatformError(f"There is no limit for {scope} {key!r}{when}. Limits: {names}.")
        removed = Limit(scope, key, found.max_kWh, valid_from)
        return _store(client, removed, is_removed=True, dry_run=dry_run)


def limits(client: Client) -> list[Limit]:
    """All limits, also those of the past and the future, the most general first. Without any, the built-in default
    of 100 kWh applies."""
    rows = client.query(
        f"SELECT toString(periods.scope), key, limit_kWh, toUnixTimestamp(valid_from) FROM {PERIODS} AS periods "
        "ORDER BY periods.scope, key, valid_from"
    ).result_rows
    found = [Limit(scope, key, float(kWh), dt.datetime.fromtimestamp(start, dt.UTC)) for scope, key, kWh, start in rows]
    ended = [
        Limit(limit.scope, limit.key, limit.max_kWh, limit.valid_from, _end(limit, found[index + 1 :]))
        for index, limit in enumerate(found)
    ]
    return [limit for limit in ended if limit.max_kWh > 0]


def was_ever_set(client: Client, scope: Scope, key: str) -> bool:
    """Whether there was ever a limit of this scope and key."""
    rows = client.query(
        f"SELECT count() > 0 FROM {LIMITS} WHERE scope = {{scope:String}} AND key = {{key:String}}",
        parameters={"scope": scope, "key": key},
    ).result_rows
    return bool(rows[0][0])


def _end(limit: Limit, later: Sequence[Limit]) -> dt.datetime | None:
    following = later[0] if later else None
    same = following is not None and (following.scope, following.key) == (limit.scope, limit.key)
    return following.valid_from if following is not None and same else None


def _check(scope: Scope, key: str, valid_from: dt.datetime) -> None:
    if scope not in get_args(Scope):
        raise PlatformError(f"Limit for {scope!r}: the scope is one of {', '.join(get_args(Scope))}.")
    if scope == "default" and key:
        raise PlatformError(f"The default limit has no key, but was given {key!r}.")
    if scope == "building_type" and not key.strip():
        raise PlatformError("A limit per building type needs the building type.")
    if scope == "device" and not (re.fullmatch(r"[1-9][0-9]{0,9}", key) and int(key) < 2**32):
        raise PlatformError(f"Limit for device {key!r}: give its device_id, a whole number from 1 to 4,294,967,295.")
    if not ALWAYS <= valid_from <= LAST_TIME:
        raise PlatformError(f"Limit from {valid_from:%Y-%m-%d}: give a time from 1970 to {LAST_TIME:%Y-%m-%d}.")


def _store(client: Client, limit: Limit, *, is_removed: bool, dry_run: bool) -> dict[str, int]:
    row = {
        "scope": limit.scope,
        "key": limit.key,
        "valid_from": limit.valid_from.replace(microsecond=0),
        "max_kWh": limit.max_kWh,
        "is_removed": int(is_removed),
    }
    with changed_by_limit(client, row) as changed:
        if dry_run:
            return changed.readings()
        return store_limit(client, LIMITS, row, changed.readings, _reason(limit, is_removed=is_removed))


def _reason(limit: Limit, *, is_removed: bool) -> str:
    what = f"Limit of {limit.scope} {limit.key}".strip()
    when = "always" if limit.valid_from == ALWAYS else f"from {limit.valid_from:%Y-%m-%d %H:%M} UTC on"
    return f"{what}: removed, {when}" if is_removed else f"{what}: {limit.max_kWh:g} kWh, {when}"
