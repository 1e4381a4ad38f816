"""``iot-platform limits``."""

from __future__ import annotations

from dataclasses import asdict

import click

from iot_platform.cli.output import echo_json, show_table
from iot_platform.clickhouse.migrations import migrated_session
from iot_platform.devices.limits import Scope, remove_limit, set_limit
from iot_platform.devices.limits import limits as stored_limits
from iot_platform.settings import Settings

AFTERWARDS = "New readings are judged by it at once, older ones when their day is proved again: iot-platform prove."


@click.group()
def limits() -> None:
    """Show and set the upper limits of a reading, in kWh.

    A reading is valid while 0 <= power_usage_kWh < limit. The most specific limit holds: device, building type,
    default (100 when nothing was set).
    """


@limits.command("set")
@click.option("--default", "default", type=float, metavar="KWH", help="Limit of all devices without another one.")
@click.option("--building-type", type=(str, float), multiple=True, metavar="TYPE KWH", help="Limit of a building type.")
@click.option("--device", type=(str, float), multiple=True, metavar="DEVICE_ID KWH", help="Limit of one device.")
def set_(
    default: float | None, building_type: tuple[tuple[str, float], ...], device: tuple[tuple[str, float], ...]
) -> None:
    """Set limits."""
    wanted: list[tuple[Scope, str, float]] = [] if default is None else [("default", "", default)]
    wanted += [("building_type", key, max_kWh) for key, max_kWh in building_type]
    wanted += [("device", key, max_kWh) for key, max_kWh in device]
    if not wanted:
        raise click.UsageError("Give --default KWH, --building-type TYPE KWH or --device DEVICE_ID KWH.")
    with migrated_session(Settings()) as client:
        for scope, key, max_kWh in wanted:
            set_limit(client, scope, key, max_kWh)
            click.echo(f"Limit of {scope} {key}".rstrip() + f": {max_kWh:,g} kWh.")
    click.echo(AFTERWARDS)


@limits.command()
@click.option("--default", "default", is_flag=True, help="Back to the built-in default.")
@click.option("--building-type", multiple=True, help="Remove the limit of a building type.")
@click.option("--device", multiple=True, help="Remove the limit of a device.")
def remove(default: bool, building_type: tuple[str, ...], device: tuple[str, ...]) -> None:
    """Remove limits; the next more general one holds then."""
    wanted: list[tuple[Scope, str]] = [("default", "")] if default else []
    wanted += [("building_type", key) for key in building_type]
    wanted += [("device", key) for key in device]
    if not wanted:
        raise click.UsageError("Give --default, --building-type TYPE or --device DEVICE_ID.")
    with migrated_session(Settings()) as client:
        for scope, key in wanted:
            remove_limit(client, scope, key)
            click.echo(f"Removed the limit of {scope} {key}".rstrip() + ".")
    click.echo(AFTERWARDS)


@limits.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the limits as one line of JSON.")
def list_(as_json: bool) -> None:
    """List the limits in use."""
    with migrated_session(Settings()) as client:
        found = stored_limits(client)
    if as_json:
        echo_json([asdict(limit) for limit in found])
    elif found:
        show_table(("scope", "key", "max_kWh"), [(limit.scope, limit.key, limit.max_kWh) for limit in found])
    else:
        click.echo("No limits were set; the built-in default of 100 kWh holds.")
