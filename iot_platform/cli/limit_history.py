"""``iot-platform limits history``: which limits there ever were, and what a meter's limit depends on."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, replace
from typing import Any

import click
from clickhouse_connect.driver.client import Client

from iot_platform.cli.limit_options import AS_JSON, described
from iot_platform.cli.output import echo_json, say, show_table
from iot_platform.clickhouse.session import migrated_session
from iot_platform.devices.meter_ids import MeterIds, names_of
from iot_platform.limits.limit_history import LoggedLimit, limits_of_device, logged_limits, logged_types
from iot_platform.settings import Settings

# What a time limit was set for.
FOR_ALL = "all"


@click.command()
@click.option("--device", metavar="METER", help="Also what a meter's limit depends on, and what it is at which time.")
@AS_JSON
def history(device: str | None, as_json: bool) -> None:
    """Show every limit that was ever set or removed, and when: it explains why a reading was accepted or refused.

    With --device also all building types that the meter was ever said to have, and the limits of its readings as they
    hold now. Of several rows for the same time the newest holds.
    """
    with migrated_session(Settings()) as client:
        logged = logged_limits(client)
        names = names_of(client, (int(row.key) for row in logged if row.scope == "device"))
        logged = [replace(row, key=names[int(row.key)]) if row.scope == "device" else row for row in logged]
        found: dict[str, Any] = {"limits": [asdict(row) for row in logged]}
        if device is not None:
            device_id = _device_id(client, device)
            types, periods = logged_types(client, device_id), limits_of_device(client, device_id)
            found |= {"building_types": [asdict(row) for row in types], "device": [asdict(row) for row in periods]}
    if as_json:
        echo_json(found)
        return
    show_table(("set at (UTC)", "limit", "value", "readings"), map(_logged_row, logged))
    if device is not None:
        say(f"Building types of meter {device}:")
        show_table(
            ("stored at (UTC)", "building type", "readings"),
            [(_at(row.recorded_at), row.building_type, described(row.valid_from)) for row in types],
        )
        say(f"Limits of meter {device} as they hold now:")
        show_table(("max_kWh", "readings"), [(row.max_kWh, described(row.valid_from)) for row in periods])


def _logged_row(row: LoggedLimit) -> tuple[str, str, str, str]:
    unit = "kWh" if row.valid_from is not None else "s"
    value = "removed" if row.is_removed else f"{row.value:,.15g} {unit}"
    readings = FOR_ALL if row.valid_from is None else described(row.valid_from)
    return _at(row.recorded_at), f"{row.scope} {row.key}".strip(), value, readings


def _at(time: dt.datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"


def _device_id(client: Client, meter: str) -> int:
    found = MeterIds(client).stored().get(meter.strip(), meter.strip())
    try:
        return int(found)
    except ValueError:
        raise click.UsageError(f"There is no meter {meter!r}.") from None
