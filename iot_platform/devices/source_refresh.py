"""Refresh the stored metadata from its source, and keep a record of the attempt."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import server_time
from iot_platform.devices.refresh import RefreshResult, refresh_devices
from iot_platform.devices.refresh_log import last_good_read, record_failure, record_success
from iot_platform.devices.sources.source import Delivery, Source
from iot_platform.errors import PlatformError
from iot_platform.security.secret_values import hide_secrets


@dataclass(frozen=True)
class SourceRefresh:
    """What a source delivered, and what it has changed."""

    delivery: Delivery
    result: RefreshResult


def refresh_from_source(
    client: Client,
    source: Source,
    now: dt.datetime,
    *,
    increment: bool,
    max_closed_share: float,
    run_id: str = "",
) -> SourceRefresh:
    """Read a source and store what is new or changed; see refresh_devices.

    ``increment``: only what has changed since the last good read, where there was one and the source can tell. The
    attempt goes into metadata_refreshes, also when it fails. Raises SourceError when the source cannot be read or
    breaks the contract; the stored metadata stays as it is then.
    """
    before = last_good_read(client, source) if increment else None
    started_at = server_time(client)
    try:
        delivery = source.read(before.position if before else "")
        result = refresh_devices(
            client,
            delivery.devices,
            now,
            # A few changed devices do not show what kind of ids the source has.
            device_ids=None if delivery.is_full or before is None else before.device_ids,
            complete=delivery.is_complete,
            max_closed_share=max_closed_share,
            where=source.location,
        )
    except PlatformError as error:
        record_failure(client, source, started_at, hide_secrets(str(error)), run_id)
        raise
    record_success(client, source, started_at, delivery, result, run_id)
    return SourceRefresh(delivery, result)
