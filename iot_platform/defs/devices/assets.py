"""Device metadata from its CSV."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

import datetime as dt
from pathlib import Path

import dagster as dg

from iot_platform.defs import tables
from iot_platform.defs.devices.facts import refresh_facts, restatement_facts
from iot_platform.defs.headers import platform_asset
from iot_platform.defs.resources import ClickHouse
from iot_platform.devices.contract import read_devices
from iot_platform.devices.refresh import refresh_devices
from iot_platform.devices.restatement import restate
from iot_platform.errors import ProofError
from iot_platform.readings.simulator import Simulator
from iot_platform.settings import Settings

DEVICES = "device_metadata"


@platform_asset(
    DEVICES,
    group="metadata",
    layer="metadata",
    kinds={"clickhouse", "csv", "pandera"},
    made_by=[DEVICES],
    late_h=3,
    stale_h=26,
)
def device_metadata(context: dg.AssetExecutionContext, clickhouse: ClickHouse) -> None:
    """Whose meter it is, in what kind of building, and where: with its history.

    A version holds from `valid_from` (a whole UTC hour) until the next one of the same device.

    **Materializing** reads the CSV (`IOT_DEVICES_CSV`, else `devices.csv` in the home; the simulator writes its own
    there when the file is missing), checks every row, and adds a version for each device that is new or has changed. A
    device that the CSV no longer lists is closed from the current hour on, its history stays
    (`IOT_DEVICES_CSV_COMPLETE=false`: nothing is closed). Then it restates the days whose readings get other metadata,
    and no others, in L3 and L4 (in L2 and the quarantine where a limit per building type changes with it). The run's
    metadata tell what has changed, which days, and each customer's kWh on these days before and after; readings that
    arrived meanwhile are part of the kWh after.

    **When it is red**, the message says which of these it is:

    - The CSV is missing, breaks the contract (each row is named), or lacks so many devices that it looks cut off
      (`IOT_MAX_CLOSED_SHARE`). Nothing was changed: the last good metadata stays in use. Correct the file and
      materialize again.
    - Days could not be restated. The new metadata is stored and in use, and these days stay open. Remove the cause
      that is named and materialize again, also with an unchanged CSV: it goes on with the days that are open.
    """
    settings = clickhouse.settings()
    path = settings.devices_file
    if settings.simulator_enabled and not path.exists():
        _write_simulated(settings, path)
        context.log.info(f"{path} was missing: the simulator's devices were written there.")
    devices = read_devices(path)
    with clickhouse.session(context.run, DEVICES) as client:
        result = refresh_devices(
            client,
            devices,
            dt.datetime.now(dt.UTC),
            complete=settings.devices_csv_complete,
            max_closed_share=settings.max_closed_share,
            where=str(path),
        )
        facts = {"file": dg.MetadataValue.path(str(path)), "devices_in_file": len(devices), **refresh_facts(result)}
        try:
            restatement = restate(
                client,
                result,
                run_id=context.run.run_id,
                progress=lambda done, days: context.log.info(f"{done:,} of {days:,} days are restated."),
            )
        except ProofError as error:
            raise dg.Failure(description=str(error), metadata=facts) from error
        context.add_output_metadata(
            {
                **facts,
                **restatement_facts(restatement),
                "dagster/row_count": tables.total_rows(client, DEVICES),
                "dagster/column_schema": tables.column_schema(client, DEVICES),
                "preview": tables.preview(client, DEVICES),
            }
        )


def _write_simulated(settings: Settings, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written aside first: a refresh that runs at the same time never sees half a file.
    partial = path.with_name(f"{path.name}.partial")
    Simulator.from_settings(settings).device_metadata().to_csv(partial, index=False)
    partial.replace(path)
