"""``iot-platform limits``: show and set which readings are plausible."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, replace
from functools import partial

import click
from clickhouse_connect.driver.client import Client

from iot_platform.cli.limit_history import history
from iot_platform.cli.limit_options import (
    AS_JSON,
    DRY_RUN,
    FROM,
    Change,
    Outcome,
    Start,
    described,
    of_time,
    removal,
    setting,
    start_json,
)
from iot_platform.cli.output import echo_json, say, show_table
from iot_platform.clickhouse.session import migrated_session
from iot_platform.devices.meter_ids import names_of
from iot_platform.limits.power_limits import Limit
from iot_platform.limits.power_limits import limits as stored_limits
from iot_platform.limits.time_limits import (
    TimeLimitName,
    remove_time_limit,
    set_max_future,
    set_oldest_timestamp,
    time_limits,
)
from iot_platform.settings import Settings

DAYS_SHOWN = 10


@click.group()
def limits() -> None:
    """Show and set the limits of valid readings: energy in kWh, and time.

    A reading is valid if 0 <= power_usage_kWh < limit. The most specific limit of its time applies: that of the device,
    of the building type that the device had then, or the default (100 unless set). Its timestamp must not be before the
    oldest timestamp (2000-01-01 unless set), nor more than some minutes (10 unless set) after its arrival; these two
    hold for readings of any time. L2 refuses all other readings; they are in power_quarantine, with the reason.
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
@FROM
@DRY_RUN
@AS_JSON
def set_(
    default: float | None,
    building_type: tuple[tuple[str, float], ...],
    device: tuple[tuple[str, float], ...],
    oldest: dt.datetime | None,
    max_future_minutes: int | None,
    start: dt.datetime | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Set limits. They apply to new readings at once, and to stored ones when their day is verified again (`prove`).

    A limit of energy holds for readings from a time on (--from); those from before keep the limit of their time.
    """
    changes = [] if default is None else [setting("default", "", default, start)]
    changes += [setting("building_type", key, max_kWh, start) for key, max_kWh in building_type]
    changes += [setting("device", key, max_kWh, start) for key, max_kWh in device]
    if oldest is not None:
        at = oldest.replace(tzinfo=dt.UTC)
        values = {"name": "oldest_timestamp", "value_s": int(at.timestamp())}
        changes.append(of_time(f"Oldest timestamp: {oldest} UTC.", values, partial(set_oldest_timestamp, oldest=at)))
    if max_future_minutes is not None:
        future = dt.timedelta(minutes=max_future_minutes)
        text = f"Latest timestamp: {max_future_minutes} minutes after arrival."
        values = {"name": "max_future", "value_s": max_future_minutes * 60}
        changes.append(of_time(text, values, partial(set_max_future, future=future)))
    if start is not None and (oldest is not None or max_future_minutes is not None):
        raise click.UsageError("Limits of time hold for readings of any time: set them without --from.")
    if not changes:
        raise click.UsageError(
            "Give --default KWH, --building-type TYPE KWH, --device METER KWH, --oldest TIME or "
            "--max-future-minutes MINUTES."
        )
    _apply(changes, dry_run=dry_run, as_json=as_json)


@limits.command()
@click.option("--default", "default", is_flag=True, help="Return to the built-in default.")
@click.option("--building-type", multiple=True, help="Remove the limit of a building type.")
@click.option("--device", multiple=True, help="Remove the limit of a meter.")
@click.option("--oldest", is_flag=True, help="Return to the built-in oldest time.")
@click.option("--max-future-minutes", is_flag=True, help="Return to the built-in number of minutes.")
@click.option(
    "--from",
    "start",
    type=Start(),
    metavar="WHEN",
    help="For readings from when on: a time in UTC, now (the current hour, the default), or always.",
)
@DRY_RUN
@AS_JSON
def remove(
    default: bool,
    building_type: tuple[str, ...],
    device: tuple[str, ...],
    oldest: bool,
    max_future_minutes: bool,
    start: dt.datetime | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove limits. Then the next more general limit applies, or the built-in one."""
    changes = [removal("default", "", start)] if default else []
    changes += [removal("building_type", key, start) for key in building_type]
    changes += [removal("device", key, start) for key in device]
    names: list[TimeLimitName] = ["oldest_timestamp"] if oldest else []
    names += ["max_future"] if max_future_minutes else []
    changes += [
        of_time(
            f"Removed the time limit {name}.", {"name": name, "value_s": None}, partial(remove_time_limit, name=name)
        )
        for name in names
    ]
    if start is not None and (oldest or max_future_minutes):
        raise click.UsageError("Limits of time hold for readings of any time: set them without --from.")
    if not changes:
        raise click.UsageError(
            "Give --default, --building-type TYPE, --device METER, --oldest or --max-future-minutes."
        )
    _apply(changes, dry_run=dry_run, as_json=as_json)


@limits.command("list")
@AS_JSON
def list_(as_json: bool) -> None:
    """List the limits: each holds for readings from a time on, until the next one of its kind."""
    with migrated_session(Settings()) as client:
        found, times = _shown(client, stored_limits(client)), time_limits(client)
    if as_json:
        power = [{**asdict(limit), **_period(limit)} for limit in found]
        echo_json({"power": power, "time": [asdict(limit) for limit in times]})
        return
    if found:
        rows = [
            (limit.scope, limit.key, limit.max_kWh, described(limit.valid_from), _until(limit.valid_to))
            for limit in found
        ]
        show_table(("scope", "key", "max_kWh", "readings", "until"), rows)
    else:
        say("No energy limits are set; the built-in default of 100 kWh applies.")
    for time in times:
        say(time.describe() + ("." if time.is_set else " (built in)."))


limits.add_command(history)


def _until(time: dt.datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M} UTC"


def _period(limit: Limit) -> dict[str, str | None]:
    end = None if limit.valid_to is None else limit.valid_to.isoformat()
    return {"valid_from": start_json(limit.valid_from), "valid_to": end}


def _shown(client: Client, found: list[Limit]) -> list[Limit]:
    """The limits with the ids of meters as people know them."""
    names = names_of(client, (int(limit.key) for limit in found if limit.scope == "device"))
    return [replace(limit, key=names[int(limit.key)]) if limit.scope == "device" else limit for limit in found]


def _apply(changes: list[Change], *, dry_run: bool, as_json: bool) -> None:
    outcomes: list[Outcome] = []
    with migrated_session(Settings()) as client:
        for change in changes:
            outcome = change(client, dry_run)
            outcomes.append(outcome)
            if not as_json:
                say(outcome.text)
                for note in outcome.notes:
                    say(f"  {note}")
    if as_json:
        echo_json({"dry_run": dry_run, "changes": [outcome.as_json() for outcome in outcomes]})
        return
    days = {day for outcome in outcomes for day in outcome.days}
    readings = sum(sum(outcome.readings.values()) for outcome in outcomes)
    if dry_run:
        listed = f": {', '.join(sorted(days)[:DAYS_SHOWN])}" + (", ..." if len(days) > DAYS_SHOWN else "")
        say(f"Readings that would be judged otherwise: {readings:,} on {len(days):,} days{listed if days else ''}.")
        say("Nothing was changed.")
        return
    say("New readings are checked against the new limits at once.")
    if days:
        say(f"Days that are unverified now, because some of their readings are affected: {len(days):,}.")
        say("Run `iot-platform prove` to apply the new limits to them.")
    else:
        say("No stored reading is affected.")
