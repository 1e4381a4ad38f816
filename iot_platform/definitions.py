"""Dagster's entry point: the code location ``iot_platform``. Loading it connects to nothing.

Everything is listed here rather than discovered in the folder: discovery needs a pyproject.toml beside the package,
which a wheel does not have.
"""

from __future__ import annotations

import dagster as dg

from iot_platform.defs import jobs
from iot_platform.defs.alerts.sensor import alerts_sensor
from iot_platform.defs.devices import assets as devices
from iot_platform.defs.devices.schedule import refresh_metadata_schedule
from iot_platform.defs.layers import assets as layers
from iot_platform.defs.layers import checks
from iot_platform.defs.layers.schedules import prove_today_schedule, prove_yesterday_schedule
from iot_platform.defs.readings import assets as readings
from iot_platform.defs.readings.sensor import simulated_ingestion_sensor
from iot_platform.defs.resources import ClickHouse

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([readings, layers, devices]),
    asset_checks=dg.load_asset_checks_from_modules([checks]),
    jobs=[jobs.ingestion_job, jobs.prove_job, jobs.all_layers_job, jobs.refresh_metadata_job],
    schedules=[prove_today_schedule, prove_yesterday_schedule, refresh_metadata_schedule],
    sensors=[simulated_ingestion_sensor, alerts_sensor],
    resources={"clickhouse": ClickHouse()},
    # The work is ClickHouse's: a process for each step would only add seconds of start.
    executor=dg.in_process_executor,
)
