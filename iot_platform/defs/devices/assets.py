"""Device metadata from its source: a CSV or a CRM."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
from clickhouse_connect.driver.client import Client

from iot_platform.defs import table_metadata as tables
from iot_platform.defs.decoration import decoration
from iot_platform.defs.devices.refresh_metadata import Facts, refresh_facts, restatement_facts, source_facts
from iot_platform.defs.platform_asset import platform_asset
from iot_platform.defs.resources import ClickHouse
from iot_platform.devices.refresh import RefreshResult
from iot_platform.devices.restatement import Restatement, restate
from iot_platform.devices.source_refresh import refresh_from_source
from iot_platform.devices.sources.configured import SOURCES, configured_source
from iot_platform.devices.sources.csv_file import CsvSource
from iot_platform.errors import ProofError, SourceError
from iot_platform.security.private_files import private_directory
from iot_platform.security.secret_values import hide_secrets_in_errors
from iot_platform.settings import Settings
from iot_platform.simulator.simulated_readings import Simulator

DEVICES = "device_metadata"


# Plain types of Dagster, not dg.Config: its fields take {"env": NAME}, and would show any secret of the process.
METADATA_SOURCE = {
    "source": dg.Field(
        dg.Noneable(dg.Enum("MetadataSource", [dg.EnumValue(name) for name in SOURCES])),
        is_required=False,
        description="Where the run reads the metadata from; unset: IOT_DEVICES_SOURCE.",
    ),
    "increment": dg.Field(
        bool,
        default_value=False,
        description="Only what has changed since the last good read, where the source can tell; closes nothing then.",
    ),
}


@platform_asset(
    DEVICES,
    group="metadata",
    layer="metadata",
    kinds={"clickhouse", "pandera", Settings().devices_source},
    made_by=[DEVICES],
    late_h=3,
    stale_h=26,
    config_schema=METADATA_SOURCE,
)
def device_metadata(context: dg.AssetExecutionContext, clickhouse: ClickHouse) -> None:
    """Whose meter it is, in what kind of building, and where: with its history.

    A version holds from `valid_from` (a whole UTC hour) until the next one of the same device.

    **Materializing** reads the source (`IOT_DEVICES_SOURCE`), checks every row, and adds a version for each device that
    is new or has changed. `csv`: the CSV at `IOT_DEVICES_CSV`, a path or URL, else `devices.csv` in the home (the
    simulator writes its own there when the file is missing). `crm`: all objects of the CRM; each hour the schedule
    reads only those that have changed. A device that the CSV (`IOT_DEVICES_CSV_COMPLETE=false`: nothing is closed) or
    the whole CRM no longer lists is closed from the current hour on, its history stays.

    Then it restates the days whose readings get other metadata, and no others, in L3 and L4 (in L2 and the quarantine
    where a limit per building type changes with it). The run's metadata tell what has changed, which days, and each
    customer's kWh on these days before and after; readings that arrived meanwhile are part of the kWh after.

    **When it is red**, the message says which of these it is:

    - The source cannot be read (the CSV is missing, the CRM is down, limits its rate or refuses the token), breaks the
      contract (the first rows are named), or lacks so many devices that it looks cut off (`IOT_MAX_CLOSED_SHARE`).
      Nothing was changed: the last good metadata stays in use, and the next hour tries again.
      `metadata_source_is_fresh` tells how old it is. Remove the cause and materialize again.
    - Days could not be restated. The new metadata is stored and in use, and these days stay open. Remove the cause
      that is named and materialize again, also with an unchanged source: it goes on with the days that are open.
    """
    with hide_secrets_in_errors():
        _refresh(context, clickhouse)


def _refresh(context: dg.AssetExecutionContext, clickhouse: ClickHouse) -> None:
    settings, config = clickhouse.settings(), context.op_execution_context.op_config
    name = config.get("source") or settings.devices_source
    try:
        source = configured_source(settings, name)
        if isinstance(source, CsvSource):
            _write_simulated_if_missing(context, settings, Path(settings.devices_location))
        with clickhouse.session(context.run, DEVICES) as client:
            refreshed = refresh_from_source(
                client,
                source,
                _now(),
                increment=config["increment"],
                max_closed_share=settings.max_closed_share,
                run_id=context.run.run_id,
            )
            facts: dict[str, Any] = {}
            with decoration(context, "The list of what has changed"):
                facts |= {**source_facts(source, refreshed.delivery), **refresh_facts(refreshed.result)}
            restatement = _restate(context, client, refreshed.result, facts)
            with decoration(context, "The energy per customer before and after"):
                facts |= restatement_facts(restatement)
            with decoration(context, f"Rows, columns and preview of {DEVICES}"):
                facts |= _table_facts(client)
            context.add_output_metadata(facts)
    except SourceError as error:
        raise dg.Failure(description=str(error), metadata={"source": name}) from error


def _restate(context: dg.AssetExecutionContext, client: Client, result: RefreshResult, facts: Facts) -> Restatement:
    try:
        return restate(
            client,
            result,
            run_id=context.run.run_id,
            progress=lambda done, days: context.log.info(f"{done:,} of {days:,} days are restated."),
        )
    except ProofError as error:
        raise dg.Failure(description=str(error), metadata=facts) from error


def _table_facts(client: Client) -> dict[str, dg.MetadataValue | dg.TableSchema | int]:
    return {
        "dagster/row_count": tables.total_rows(client, DEVICES),
        "dagster/column_schema": tables.column_schema(client, DEVICES),
        "preview": tables.preview(client, DEVICES),
    }


def _write_simulated_if_missing(context: dg.AssetExecutionContext, settings: Settings, path: Path) -> None:
    # The simulator has meters, but nobody who writes a list of them. A URL is somebody else's to write.
    if not settings.simulator_enabled or "://" in settings.devices_location or path.exists():
        return
    if not path.parent.exists():
        private_directory(path.parent)
    # Written aside first: a refresh that runs at the same time never sees half a file.
    partial = path.with_name(f"{path.name}.partial")
    Simulator.from_settings(settings).device_metadata().to_csv(partial, index=False)
    partial.replace(path)
    context.log.info(f"{path} was missing: the simulator's devices were written there.")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
