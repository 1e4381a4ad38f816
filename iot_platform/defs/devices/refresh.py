"""What a run of device_metadata does. Only the run imports this module: pandas and pandera take a second of CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
from clickhouse_connect.driver.client import Client

from iot_platform.defs import table_entries
from iot_platform.defs.decoration import decoration
from iot_platform.defs.devices.refresh_entries import (
    refresh_entries,
    refresh_tables,
    restatement_entries,
    restatement_tables,
    source_entries,
)
from iot_platform.defs.resources import ClickHouse
from iot_platform.defs.table_entries import Entries
from iot_platform.defs.times import utc_now
from iot_platform.devices.refresh import RefreshResult
from iot_platform.devices.restatement import Restatement, restate
from iot_platform.devices.source_refresh import refresh_from_source
from iot_platform.devices.sources.configured import configured_source
from iot_platform.devices.sources.csv_file import DeviceCsvSource
from iot_platform.devices.sources.source import is_url
from iot_platform.errors import ProofError, SourceError
from iot_platform.layers.catalog import DEVICES
from iot_platform.security.escaping import escape_line
from iot_platform.security.private_files import private_directory
from iot_platform.settings import Settings
from iot_platform.simulator.simulated_readings import Simulator


def refresh(context: dg.AssetExecutionContext, clickhouse: ClickHouse) -> None:
    """Read the source, store new versions, restate the days that they change, and report it to Dagster."""
    settings, config = clickhouse.settings(), context.op_execution_context.op_config
    name = config.get("source") or settings.devices_source
    try:
        source = configured_source(settings, name)
        if isinstance(source, DeviceCsvSource):
            _write_simulated_if_missing(context, settings)
        with clickhouse.session(context.run, DEVICES) as client:
            refreshed = refresh_from_source(
                client,
                source,
                utc_now(),
                increment=config["increment"],
                max_closed_share=settings.max_closed_share,
                building_types=settings.building_types,
                run_id=context.run.run_id,
            )
            for note in refreshed.result.notes:
                context.log.warning(escape_line(note))
            entries: dict[str, Any] = {
                **source_entries(source, refreshed.delivery),
                **refresh_entries(refreshed.result),
            }
            with decoration(context, "The list of what has changed"):
                entries |= refresh_tables(refreshed.result)
            restatement = _restate(context, client, refreshed.result, entries)
            entries |= restatement_entries(restatement)
            with decoration(context, "The energy per customer before and after"):
                entries |= restatement_tables(restatement)
            with decoration(context, f"Rows, columns and preview of {DEVICES}"):
                preview = table_entries.preview(client, DEVICES)
                entries |= {**table_entries.rows_and_columns(client, DEVICES), "preview": preview}
            context.add_output_metadata(entries)
    except SourceError as error:
        raise dg.Failure(description=str(error), metadata={"source": name}) from error


def _restate(context: dg.AssetExecutionContext, client: Client, result: RefreshResult, entries: Entries) -> Restatement:
    try:
        return restate(
            client,
            result,
            run_id=context.run.run_id,
            progress=lambda done, days: context.log.info(f"{done:,} of {days:,} days are restated."),
        )
    except ProofError as error:
        raise dg.Failure(description=str(error), metadata=entries) from error


def _write_simulated_if_missing(context: dg.AssetExecutionContext, settings: Settings) -> None:
    # Only this function writes the list of the simulated meters. A file at a URL cannot be written.
    path = Path(settings.devices_location)
    if not settings.simulator_enabled or is_url(settings.devices_location) or path.exists():
        return
    if not path.parent.exists():
        private_directory(path.parent)
    # The rename is atomic, and each run has a file of its own: a refresh at the same time never reads half a file.
    partial = path.with_name(f"{path.name}.{context.run.run_id}.partial")
    Simulator.from_settings(settings).device_metadata().to_csv(partial, index=False)
    partial.replace(path)
    context.log.info(f"{path} was missing: the simulator's devices were written there.")
