"""Dagster's instance of a home: its directory, its configuration, the environment of its processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from iot_platform.security.private_files import state_directory
from iot_platform.settings import Settings

INSTANCE_CONFIG = """\
# Dagster's instance of this home: SQLite storage and logs beside this file. Yours to change: it is written once.
# deploy/dagster.yaml is the one for production (Postgres).

# Runs wait in a queue. Within them, steps that use ClickHouse share the pool "clickhouse".
concurrency:
  runs:
    max_concurrent_runs: 4
  pools:
    default_limit: 3
    granularity: op

# A run whose process died is found and fails, instead of running for ever; then it is tried again. What fails in a run
# is not: its steps try again by themselves when the cause is known to pass.
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  poll_interval_seconds: 30
run_retries:
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false

freshness:
  enabled: true

# Days that ticks are kept; runs and their logs stay until they are deleted.
retention:
  schedule:
    purge_after_days:
      skipped: 7
      success: 90
      failure: 90
      started: 7
  sensor:
    purge_after_days:
      skipped: 2
      success: 30
      failure: 90
      started: 7
  auto_materialize:
    purge_after_days:
      skipped: 2
      success: 30

telemetry:
  enabled: false
# No dialog over the first page.
nux:
  enabled: false
"""


def dagster_home(settings: Settings) -> Path:
    """The directory of Dagster's own storage in this home, made with a configuration when it is not there."""
    home = state_directory(settings.root, "dagster")
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(INSTANCE_CONFIG, encoding="utf-8")
    return home


def create_storage(home: Path) -> None:
    """Make the tables of a new instance. Processes that start at the same time would each try, and spoil its SQLite."""
    # Takes a second to import: only where it is needed.
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs_count()
        instance.all_asset_keys()
        instance.all_instigator_state()


def environment(settings: Settings, overrides: Mapping[str, str]) -> dict[str, str]:
    """The environment of a Dagster process of this home. Paths in it are absolute: it runs in another folder."""
    return {
        **os.environ,
        **_absolute_paths(settings),
        "DAGSTER_HOME": str(dagster_home(settings)),
        "IOT_HOME": str(settings.root),
        **overrides,
    }


def _absolute_paths(settings: Settings) -> dict[str, str]:
    names = [name for name in os.environ if name.startswith("IOT_") and name.endswith("_FILE") and os.environ[name]]
    paths = {name: os.environ[name] for name in names}
    # Anything with a colon is a URL.
    if settings.devices_csv and ":" not in settings.devices_csv:
        paths["IOT_DEVICES_CSV"] = settings.devices_csv
    return {name: os.path.abspath(os.path.expanduser(path)) for name, path in paths.items()}
