"""Dagster's entry point: the code location ``iot_platform``. Loading it connects to nothing.

Everything is listed here rather than discovered in the folder: discovery needs a pyproject.toml beside the package,
which a wheel does not have.
"""

from __future__ import annotations

import dagster as dg

from iot_platform.defs import jobs
from iot_platform.defs.alerts.sensor import alerts_sensor
from iot_platform.defs.day_status import day_status_sensor
from iot_platform.defs.devices import assets as devices
from iot_platform.defs.devices.checks import metadata_checks
from iot_platform.defs.devices.schedule import (
    check_metadata_schedule,
    compare_metadata_schedule,
    refresh_metadata_schedule,
)
from iot_platform.defs.devices.sensor import metadata_csv_sensor
from iot_platform.defs.inbox.asset import inbox_files, inbox_job
from iot_platform.defs.inbox.sensor import inbox_sensor
from iot_platform.defs.layers import assets as layers
from iot_platform.defs.layers import checks
from iot_platform.defs.layers.automation import layer_automation_sensor
from iot_platform.defs.layers.schedules import prove_closed_days_schedule, prove_today_schedule
from iot_platform.defs.layers.schema_check import schema_is_as_in_sql
from iot_platform.defs.looker.assets import looker_assets
from iot_platform.defs.looker.checks import looker_checks, looker_checks_job, looker_checks_schedule
from iot_platform.defs.old_runs import remove_old_runs_job, remove_old_runs_schedule
from iot_platform.defs.readings import assets as readings
from iot_platform.defs.readings.sensor import simulated_ingestion_sensor
from iot_platform.defs.resources import ClickHouse, no_values
from iot_platform.settings import Settings

HAS_INBOX = Settings().inbox is not None

defs = dg.Definitions(
    assets=[
        *dg.with_source_code_references(dg.load_assets_from_modules([readings, layers, devices])),
        *looker_assets(),
        *([inbox_files] if HAS_INBOX else []),
    ],
    asset_checks=[*checks.layer_checks, schema_is_as_in_sql, *metadata_checks, *looker_checks],
    jobs=[
        jobs.ingestion_job,
        jobs.prove_job,
        jobs.all_layers_job,
        jobs.refresh_metadata_job,
        jobs.metadata_checks_job,
        looker_checks_job,
        remove_old_runs_job,
        *([inbox_job] if HAS_INBOX else []),
    ],
    schedules=[
        prove_today_schedule,
        prove_closed_days_schedule,
        refresh_metadata_schedule,
        compare_metadata_schedule,
        check_metadata_schedule,
        looker_checks_schedule,
        remove_old_runs_schedule,
    ],
    sensors=[
        simulated_ingestion_sensor,
        layer_automation_sensor,
        alerts_sensor,
        metadata_csv_sensor,
        day_status_sensor,
        *([inbox_sensor] if HAS_INBOX else []),
    ],
    resources={"clickhouse": ClickHouse(), "io_manager": no_values},
    # The work is ClickHouse's: a process for each step would only add seconds of start.
    executor=dg.in_process_executor,
)
