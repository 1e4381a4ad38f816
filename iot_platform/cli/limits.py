"""``iot-platform limits``: show and set which readings are plausible."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial

import click
from clickhouse_connect.driver.client import Client

from iot_platform.cli.output import echo_json, say, show_table
from iot_platform.clickhouse.session import migrated_session
from iot_platform.devices.meter_ids import MeterIds, names_of
from iot_platform.limits.power_limits import Limit, Scope, remove_limit, set_limit
from iot_platform.limits.power_limits import limits as stored_limits
from iot_platform.limits.time_limits import (
    TimeLimitName,
    remove_time_limit,
    set_max_future,
    set_oldest_timestamp,
    time_limits,
)
from iot_platform.settings import Settings

# A sentence about a change, and the function that makes it and returns the partitions that it makes unverified.
Change = tuple[str, Callable[[Client], set[str]]]


@click.group()
def limits() -> None:
    """Show and set the limits of valid readings: energy in kWh, and time.

    A reading is valid if 0 <= power_usage_kWh < limit. The most specific limit applies: that of the device, of its
    building type, or the default (100 unless set). Its timestamp must not be before the oldest timestamp (2000-01-01
    unless set), nor more than some minutes (10 unless set) after its arrival. L2 refuses all other readings; they are
    in power_quarantine, with the reason.
    """


@limits.command("set")
@click.option(
    "--default", "default", type=float, metavar="KWH", help="Limit of all devices without a more specific one."
)
@click.option("--building-type", type=(str, float), multiple=True, metavar="TYPE KWH", help="Limit of a building type.")
@click.option(
    "--device", type=(str, float), multiple=True, metavar="METER KWH", help="Limit of one meter, by its own id."
)
@click.option(
    "--oldest",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="Oldest time (UTC) of a reading; 2000-01-01 or later.",
)
@click.option(
    "--max-future-minutes",
    type=click.IntRange(0, 24 * 60),
    help="How far in the future a reading may be when it arrives.",
)
def set_(
    default: float | None,
    building_type: tuple[tuple[str, float], ...],
    device: tuple[tuple[str, float], ...],
    oldest: dt.datetime | None,
    max_future_minutes: int | None,
) -> None:
    """Set limits. They apply to new readings at once, and to stored ones when their day is verified again (`prove`)."""
    changes = [] if default is None else [_limit("default", "", default)]
    changes += [_limit("building_type", key, max_kWh) for key, max_kWh in building_type]
    changes += [_limit("device", key, max_kWh) for key, max_kWh in device]
    if oldest is not None:
        changes.append(
            (f"Oldest timestamp: {oldest} UTC.", partial(set_oldest_timestamp, oldest=oldest.replace(tzinfo=dt.UTC)))
        )
    if max_future_minutes is not None:
        future = dt.timedelta(minutes=max_future_minutes)
        changes.append(
            (f"Latest timestamp: {max_future_minutes} minutes after arrival.", partial(set_max_future, future=future))
        )
    if not changes:
        raise click.UsageError(
            "Give --default KWH, --building-type TYPE KWH, --device METER KWH, --oldest TIME or "
            "--max-future-minutes MINUTES."
        )
    _apply(changes)


@limits.command()
@click.option("--default", "default", is_flag=True, help="Return to the built-in default.")
@click.option("--building-type", multiple=True, help="Remove the limit of a building type.")
@click.option("--device", multiple=True, help="Remove the limit of a meter.")
@click.option("--oldest", is_flag=True, help="Return to the built-in oldest time.")
@click.option("--max-future-minutes", is_flag=True, help="Return to the built-in number of minutes.")
def remove(
    default: bool, building_type: tuple[str, ...], device: tuple[str, ...], oldest: bool, max_future_minutes: bool
) -> None:
    """Remove limits. Then the next more general limit applies, or the built-in one."""
    wanted: list[tuple[Scope, str]] = [("default", "")] if default else []
    wanted += [("building_type", key) for key in building_type]
    wanted += [("device", key) for key in device]
    changes: list[Change] = [
        (f"Removed the limit of {scope} {key}".rstrip() + ".", partial(_remove, scope=scope, key=key))
        for scope, key in wanted
    ]
    names: list[TimeLimitName] = ["oldest_timestamp"] if oldest else []
    names += ["max_future"] if max_future_minutes else []
    changes += [(f"Removed the time limit {name}.", partial(remove_time_limit, name=name)) for name in names]
    if not changes:
        raise click.UsageError(
            "Give --default, --building-type TYPE, --device METER, --oldest or --max-future-minutes."
        )
    _apply(changes)


@limits.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the limits as one line of JSON.")
def list_(as_json: bool) -> None:
    """List the limits."""
    with migrated_session(Settings()) as client:
        found, times = _shown(client, stored_limits(client)), time_limits(client)
    if as_json:
        echo_json({"power": [asdict(limit) for limit in found], "time": [asdict(limit) for limit in times]})
        return
    if found:
        show_table(("scope", "key", "max_kWh"), [(limit.scope, limit.key, limit.max_kWh) for limit in found])
    else:
        say("No energy limits are set; the built-in default of 100 kWh applies.")
    for time in times:
        say(time.describe() + ("." if time.is_set else " (built in)."))


def _limit(scope: Scope, key: str, max_kWh: float) -> Change:
    text = f"Limit of {scope} {key}".rstrip() + f": {max_kWh:,g} kWh."
    return text, lambda client: set_limit(client, scope, _stored_key(client, scope, key), max_kWh)


def _remove(client: Client, scope: Scope, key: str) -> set[str]:
    return remove_limit(client, scope, _stored_key(client, scope, key))


def _stored_key(client: Client, scope: Scope, key: str) -> str:
    """The key of a limit in the database: the device_id of a meter that was given by its name."""
    return str(MeterIds(client).stored().get(key.strip(), key)) if scope == "device" else key


def _shown(client: Client, found: list[Limit]) -> list[Limit]:
    """The limits with the ids of meters as people know them."""
    names = names_of(client, (int(limit.key) for limit in found if limit.scope == "device"))
    return [replace(limit, key=names[int(limit.key)]) if limit.scope == "device" else limit for limit in found]


def _apply(changes: list[Change]) -> None:
    days: set[str] = set()
    with migrated_session(Settings()) as client:
        for text, change in changes:
            days |= change(client)
            say(text)
    say("New readings are checked against the new limits at once.")
    if days:
        say(f"Days that are unverified now, because some of their readings are affected: {len(days):,}.")
        say("Run `iot-platform prove` to apply the new limits to them.")
    else:
        say("No stored reading is affected.")
