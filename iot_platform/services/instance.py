"""Dagster's instance of a home: its directory, its configuration, the environment of its processes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from iot_platform.security.private_files import state_directory
from iot_platform.settings import Settings

INSTANCE_CONFIG = """\
# Dagster's instance of this home: SQLite storage and logs beside this file. You may change it: a changed file is never
# overwritten.
# deploy/dagster.yaml is the one for production (Postgres). docs/operators-guide.md explains the choices.

# Runs wait in a queue; the daemon looks at it each second. When the code location cannot be reached, a run keeps its
# place in the queue for five minutes instead of failing.
run_queue:
  dequeue_interval_seconds: 1
  max_user_code_failure_retries: 20
  user_code_failure_retry_delay: 15

# Backfills and the nightly proof of closed days never take all slots: at least one is left for ingestion, metadata and
# the hourly proof. These go first when several runs wait (tag dagster/priority). Steps that use ClickHouse share the
# pool "clickhouse".
concurrency:
  runs:
    max_concurrent_runs: 4
    tag_concurrency_limits:
      - key: dagster/backfill
        limit: 2
      - key: iot_platform/nightly
        limit: 1
  pools:
    default_limit: 4
    granularity: op

# A failed tick of a schedule is evaluated again every minute, for three hours.
scheduler:
  module: dagster.core.scheduler
  class: DagsterDaemonScheduler
  config:
    max_tick_retries: 180

# A run whose process died is marked as failed and started again. A run that failed with an error is not: its steps have
# already been retried after transient errors. A busy machine may take minutes to start a run.
run_monitoring:
  enabled: true
  start_timeout_seconds: 900
  poll_interval_seconds: 30
run_retries:
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false

freshness:
  enabled: true

# Days that ticks are kept. Old runs are removed by remove_old_runs_job (IOT_RUNS_KEPT_DAYS).
retention:
  schedule:
    purge_after_days:
      skipped: 2
      success: 30
      failure: 30
      started: 7
  sensor:
    purge_after_days:
      skipped: 1
      success: 7
      failure: 30
      started: 7
  auto_materialize:
    purge_after_days:
      skipped: 1
      success: 7
      failure: 30
      started: 7

telemetry:
  enabled: false
# No dialog over the first page.
nux:
  enabled: false
"""


# SHA-256 of what earlier versions wrote: a file that nobody has changed gets the new configuration.
EARLIER_CONFIGS = {
    "4bd9bc51866338e7f1bd248fb28203ab3d2534b1d43c5f04a1251c1fa12d13cb",
    "c9dff89ac557a34e08ec2a781238d59ec991e7fde2fae00420724388093e5bad",
    "3a375c7392da8f163cbdddc399494e8cf994f70e4f4e19a3c7f7e29693cdabc2",
}


def dagster_home(settings: Settings) -> Path:
    """The directory of Dagster's own storage in this home, with a configuration."""
    home = state_directory(settings.root, "dagster")
    config = home / "dagster.yaml"
    if not config.exists() or hashlib.sha256(config.read_bytes()).hexdigest() in EARLIER_CONFIGS:
        # The rename is atomic: half a file, as a full disk leaves it, would count as changed and stay for ever.
        draft = home / f"dagster.yaml.{os.getpid()}"
        try:
            draft.write_text(INSTANCE_CONFIG, encoding="utf-8")
            draft.replace(config)
        finally:
            draft.unlink(missing_ok=True)
    return home


def create_storage(home: Path) -> None:
    """Create the tables of a new instance. Processes that start together must not do it: it breaks the SQLite files."""
    # Imported here because it takes a second.
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs_count()
        instance.all_asset_keys()
        instance.all_instigator_state()


def environment(settings: Settings, overrides: Mapping[str, str]) -> dict[str, str]:
    """The environment of a Dagster process of this home. Its paths are absolute: the process runs in another folder."""
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
    # With a colon it is a URL.
    if settings.devices_csv and ":" not in settings.devices_csv:
        paths["IOT_DEVICES_CSV"] = settings.devices_csv
    if settings.inbox and ":" not in settings.inbox:
        paths["IOT_INBOX"] = settings.inbox
    # Without a slash and .toml it is the name of a ready mapping.
    if settings.inbox_mapping and ("/" in settings.inbox_mapping or settings.inbox_mapping.endswith(".toml")):
        paths["IOT_INBOX_MAPPING"] = settings.inbox_mapping
    return {name: os.path.abspath(os.path.expanduser(path)) for name, path in paths.items()}
