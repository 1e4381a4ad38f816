"""Everything that we import from private modules of Dagster, with reasons. Check it first when Dagster is updated."""

from __future__ import annotations

# The type of a repository's asset graph, which a public property returns.
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

# The state in a freshness record, which a public method returns.
from dagster._core.definitions.freshness import FreshnessState

# Distinguishes schedules from sensors in the list of all of them.
from dagster._core.definitions.run_request import InstigatorType

# The error in a RUN_FAILURE event.
from dagster._core.events import JobFailureData

# State and ticks of schedules and sensors, which public methods return.
from dagster._core.scheduler.instigation import (
    InstigatorState,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickStatus,
)

# Distinguishes completed evaluations of a check from planned ones.
from dagster._core.storage.asset_check_execution_record import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES

# A run with its times.
from dagster._core.storage.dagster_run import RunRecord

# Mark runs that Dagster will start again; the code location, the schedule and the sensor that a run belongs to.
from dagster._core.storage.tags import (
    AUTO_RETRY_RUN_ID_TAG,
    REPOSITORY_LABEL_TAG,
    SCHEDULE_NAME_TAG,
    SENSOR_NAME_TAG,
    WILL_RETRY_TAG,
)

# An error with its chain of causes, as Dagster stores it.
from dagster_shared.error import SerializableErrorInfo

__all__ = [
    "AUTO_RETRY_RUN_ID_TAG",
    "COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES",
    "REPOSITORY_LABEL_TAG",
    "SCHEDULE_NAME_TAG",
    "SENSOR_NAME_TAG",
    "WILL_RETRY_TAG",
    "AssetGraph",
    "FreshnessState",
    "InstigatorState",
    "InstigatorType",
    "JobFailureData",
    "RunRecord",
    "ScheduleInstigatorData",
    "SensorInstigatorData",
    "SerializableErrorInfo",
    "TickStatus",
    "sqlite_events_file",
]


def sqlite_events_file(storage: object, run_id: str) -> str | None:
    """The database file of a run's events, which Dagster does not delete with the run; None: the storage has none."""
    # Imported here: it imports SQLAlchemy, which loading the definitions does not need.
    from dagster._core.storage.event_log import SqliteEventLogStorage

    return storage.path_for_shard(run_id) if isinstance(storage, SqliteEventLogStorage) else None
