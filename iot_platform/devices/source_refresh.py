"""Refresh the stored metadata from a source and record the attempt, for Dagster and the command line."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import server_time
from iot_platform.devices.meter_ids import IdKind
from iot_platform.devices.refresh import RefreshResult, refresh_devices
from iot_platform.devices.refresh_log import last_successful_read, record_failure, record_success
from iot_platform.devices.sources.source import Delivery, Source
from iot_platform.errors import PlatformError
from iot_platform.security.secret_values import hide_secrets


@dataclass(frozen=True)
class SourceRefresh:
    """What the source returned, and what the refresh has changed."""

    delivery: Delivery
    result: RefreshResult


def refresh_from_source(
    client: Client,
    source: Source,
    now: dt.datetime,
    *,
    max_closed_share: float,
    increment: bool = False,
    device_ids: IdKind = "auto",
    building_types: Mapping[str, str] = MappingProxyType({}),
    dry_run: bool = False,
    run_id: str = "",
) -> SourceRefresh:
    """Read a source and store what is new or changed; see refresh_devices.

    ``increment``: read only what has changed since the last successful read, if there was one and the source can tell.
    The attempt is recorded in metadata_refreshes, also if it fails; a ``dry_run`` is not, because it changes nothing.
    Raises SourceError if the source cannot be read or violates the contract; then the stored metadata was not changed.
    """
    before = last_successful_read(client, source) if increment else None
    started_at = server_time(client)
    try:
        delivery = source.read(before.position if before else "")
        result = refresh_devices(
            client,
            delivery.devices,
            now,
            device_ids=device_ids,
            complete=delivery.is_complete,
            dry_run=dry_run,
            max_closed_share=max_closed_share,
            building_types=building_types,
            where=source.location,
        )
    except PlatformError as error:
        if not dry_run:
            record_failure(client, source, started_at, hide_secrets(str(error)), run_id)
        raise
    if not dry_run:
        record_success(client, source, started_at, delivery, result, run_id)
    return SourceRefresh(delivery, replace(result, notes=[*delivery.notes, *result.notes]))
