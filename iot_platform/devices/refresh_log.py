"""The table ``metadata_refreshes``: the outcome of each attempt to refresh the metadata from a source."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.rows import insert_rows
from iot_platform.devices.refresh import RefreshResult
from iot_platform.devices.sources.source import Delivery, Source

TABLE = "metadata_refreshes"
# A contract error may list many rows; the failed run shows all of them.
PROBLEM_CHARS = 2000


@dataclass(frozen=True)
class SuccessfulRead:
    """A successful attempt: when it began (UTC), and the position that it reached."""

    started_at: dt.datetime
    position: str


def last_successful_read(client: Client, source: Source) -> SuccessfulRead | None:
    """The newest successful read of a source at its present location, if there was one."""
    rows = client.query(
        f"SELECT started_at, position FROM {TABLE} WHERE source = {{source:String}} "
        "AND location = {location:String} AND outcome = 'refreshed' ORDER BY started_at DESC LIMIT 1",
        parameters={"source": source.name, "location": source.location},
    ).result_rows
    if not rows:
        return None
    started_at, position = rows[0]
    return SuccessfulRead(started_at.replace(tzinfo=dt.UTC), position)


def record_success(
    client: Client, source: Source, started_at: dt.datetime, delivery: Delivery, result: RefreshResult, run_id: str
) -> None:
    """Record that a source was read and its metadata stored."""
    outcome = {
        "outcome": "refreshed",
        "is_full": int(delivery.is_full),
        "position": delivery.position,
        "device_ids": result.device_ids,
        "rows": len(delivery.devices),
        "new": result.new,
        "changed": result.changed,
        "closed": result.closed,
    }
    _insert(client, source, started_at, run_id, outcome)


def record_failure(client: Client, source: Source, started_at: dt.datetime, problem: str, run_id: str) -> None:
    """Record that an attempt failed, and why."""
    _insert(client, source, started_at, run_id, {"outcome": "failed", "problem": problem[:PROBLEM_CHARS]})


def _insert(client: Client, source: Source, started_at: dt.datetime, run_id: str, outcome: dict[str, object]) -> None:
    row = {
        "source": source.name,
        "location": source.location,
        "started_at": started_at,
        "run_id": run_id,
        **outcome,
    }
    insert_rows(client, TABLE, [list(row.values())], list(row))
