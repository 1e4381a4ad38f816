"""The changes that `iot-platform limits` makes: from when on, which readings they affect, and notes for people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import click
from clickhouse_connect.driver.client import Client

from iot_platform.devices.meter_ids import MeterIds
from iot_platform.layers.catalog import partition_day
from iot_platform.limits.limit_history import types_in_use
from iot_platform.limits.power_limits import ALWAYS, Scope, limits, remove_limit, set_limit, was_ever_set

TYPES_SHOWN = 10


class Start(click.ParamType[dt.datetime]):
    """From when on a limit holds: "always", "now" (the current UTC hour), or a time in UTC."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        if isinstance(value, dt.datetime):
            return value
        if value == "always":
            return ALWAYS
        if value == "now":
            return current_hour()
        try:
            time = dt.datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is neither always nor now nor a time like 2026-01-31 or 2026-01-31T12:00.", param, ctx
            )
        return time.astimezone(dt.UTC) if time.tzinfo else time.replace(tzinfo=dt.UTC)


FROM = click.option(
    "--from",
    "start",
    type=Start(),
    metavar="WHEN",
    help="For readings from when on: a time in UTC, now (the current hour), or always, which judges the past anew. "
    "Default: now; a first limit of its kind that changes no stored reading holds always.",
)
DRY_RUN = click.option("--dry-run", is_flag=True, help="Only show which readings on which days would be affected.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as one line of JSON.")


@dataclass(frozen=True)
class Outcome:
    """A change that was made, or would be: in words, and the readings that it judges otherwise, by partition."""

    text: str
    readings: dict[str, int]
    values: dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def days(self) -> list[str]:
        """The days of these readings; those with impossible times have none."""
        return sorted(str(partition_day(name) or "impossible times") for name in self.readings)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**self.values, "readings": sum(self.readings.values()), "days": self.days, "notes": list(self.notes)}


# A change of a limit, made by a client (with True: only tried).
Change = Callable[[Client, bool], Outcome]


def current_hour() -> dt.datetime:
    """The beginning of the current hour, UTC."""
    return dt.datetime.now(dt.UTC).replace(minute=0, second=0, microsecond=0)


def setting(scope: Scope, key: str, max_kWh: float, start: dt.datetime | None) -> Change:
    """Set a limit of energy; ``key``: as people write it."""

    def change(client: Client, dry_run: bool) -> Outcome:
        stored = _stored_key(client, scope, key)
        valid_from = start or _default_start(client, scope, stored, max_kWh)
        notes = [*_unknown_type(client, scope, key), *_replaced(client, scope, stored, valid_from)]
        if start is None and valid_from != ALWAYS:
            notes.append("Readings from before keep the limit of their time; --from always judges them by this one.")
        readings = set_limit(client, scope, stored, max_kWh, valid_from=valid_from, dry_run=dry_run)
        text = f"Limit of {scope} {key}".rstrip() + f": {max_kWh:,g} kWh, {described(valid_from)}."
        return Outcome(text, readings, _values(scope, key, max_kWh, valid_from), notes)

    return change


def removal(scope: Scope, key: str, start: dt.datetime | None) -> Change:
    """Remove a limit of energy."""

    def change(client: Client, dry_run: bool) -> Outcome:
        stored, valid_from = _stored_key(client, scope, key), start or current_hour()
        readings = remove_limit(client, scope, stored, valid_from=valid_from, dry_run=dry_run)
        notes = []
        if start is None:
            notes.append("Readings from before keep the limit of their time; --from always removes it for them.")
        text = f"Removed the limit of {scope} {key}".rstrip() + f", {described(valid_from)}."
        return Outcome(text, readings, _values(scope, key, None, valid_from), notes)

    return change


def of_time(text: str, values: dict[str, Any], make: Callable[..., dict[str, int]]) -> Change:
    """Set or remove a limit of time. ``make``: a function of time_limits.py that needs only the client."""
    return lambda client, dry_run: Outcome(text, make(client, dry_run=dry_run), values)


def described(valid_from: dt.datetime) -> str:
    """When a limit begins, in words."""
    return "always" if valid_from == ALWAYS else f"from {valid_from:%Y-%m-%d %H:%M} UTC on"


def _values(scope: Scope, key: str, max_kWh: float | None, valid_from: dt.datetime) -> dict[str, Any]:
    return {"scope": scope, "key": key, "max_kWh": max_kWh, "valid_from": start_json(valid_from)}


def start_json(valid_from: dt.datetime) -> str | None:
    """When a limit begins, for scripts; None: always."""
    return None if valid_from == ALWAYS else valid_from.isoformat()


def _default_start(client: Client, scope: Scope, key: str, max_kWh: float) -> dt.datetime:
    """A first limit is usually set before the old files are loaded: it holds for them as well. It judges nothing anew
    that is stored."""
    is_first = not was_ever_set(client, scope, key)
    return ALWAYS if is_first and not set_limit(client, scope, key, max_kWh, dry_run=True) else current_hour()


def _unknown_type(client: Client, scope: Scope, key: str) -> list[str]:
    if scope != "building_type":
        return []
    known = types_in_use(client)
    if key in known:
        return []
    named = [f"{name!r} ({devices:,})" for name, devices in list(known.items())[:TYPES_SHOWN]]
    listed = ", ".join(named) + (", ..." if len(known) > TYPES_SHOWN else "")
    return [f"No meter has or had the building type {key!r}. Types, with their meters: {listed or 'none'}."]


def _replaced(client: Client, scope: Scope, key: str, valid_from: dt.datetime) -> list[str]:
    later = [
        f"{limit.max_kWh:,g} kWh {described(limit.valid_from)}"
        for limit in limits(client)
        if (limit.scope, limit.key) == (scope, key) and limit.valid_from > valid_from
    ]
    return [f"It replaces what was set for later: {', '.join(later)}."] if later else []


def _stored_key(client: Client, scope: Scope, key: str) -> str:
    """The key of a limit in the database: the device_id of a meter that was given by its name."""
    return str(MeterIds(client).stored().get(key.strip(), key)) if scope == "device" else key
