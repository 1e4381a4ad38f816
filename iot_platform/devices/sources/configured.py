"""The sources of device metadata, by name, built from the settings.

Each is imported when it is used: pandas, pandera and the HTTP libraries take a second of CPU time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from iot_platform.devices.sources.source import CRM, CSV, Source
from iot_platform.errors import SourceError
from iot_platform.settings import Settings

if TYPE_CHECKING:
    from iot_platform.devices.sources.csv_file import DeviceCsvSource
    from iot_platform.devices.sources.hubspot import HubSpotSource


def device_csv_source(settings: Settings) -> DeviceCsvSource:
    """The CSV that the settings name."""
    from iot_platform.devices.sources.csv_file import DeviceCsvSource

    return DeviceCsvSource(
        settings.devices_location,
        complete=settings.devices_csv_complete,
        timeout_s=settings.source_timeout_s,
        max_bytes=settings.devices_max_bytes,
    )


def crm_source(settings: Settings) -> HubSpotSource:
    """The CRM that the settings name. Raises SourceError if they are incomplete."""
    from iot_platform.devices.sources.hubspot import HubSpotSource

    return HubSpotSource(
        settings.crm_url,
        settings.crm_token,
        object_type=settings.crm_object,
        fields=settings.crm_fields,
        modified=settings.crm_modified_property,
        timeout_s=settings.source_timeout_s,
        max_bytes=settings.devices_max_bytes,
    )


SOURCES: Mapping[str, Callable[[Settings], Source]] = {CSV: device_csv_source, CRM: crm_source}


def configured_source(settings: Settings, name: str | None = None) -> Source:
    """The source that the settings select, or ``name``. Raises SourceError if it is unknown."""
    wanted = name or settings.devices_source
    if wanted not in SOURCES:
        raise SourceError(
            f"Unknown source of device metadata {wanted!r} (IOT_DEVICES_SOURCE). Known: {', '.join(SOURCES)}."
        )
    return SOURCES[wanted](settings)
