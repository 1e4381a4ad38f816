"""The sources of device metadata by name, as the settings describe them.

Each is imported when it is used: pandas, pandera and the HTTP libraries take a second of CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from iot_platform.devices.sources.source import CRM, CSV, Source
from iot_platform.errors import SourceError
from iot_platform.settings import Settings

if TYPE_CHECKING:
    from iot_platform.devices.sources.csv_file import CsvSource
    from iot_platform.devices.sources.hubspot import HubSpotSource


def csv_source(settings: Settings) -> CsvSource:
    """The CSV of the settings."""
    from iot_platform.devices.sources.csv_file import CsvSource

    return CsvSource(
        settings.devices_location,
        complete=settings.devices_csv_complete,
        timeout_s=settings.source_timeout_s,
        max_bytes=settings.devices_max_bytes,
    )


def crm_source(settings: Settings) -> HubSpotSource:
    """The CRM of the settings. Raises SourceError when they do not describe one."""
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


SOURCES: Mapping[str, Callable[[Settings], Source]] = {CSV: csv_source, CRM: crm_source}


def configured_source(settings: Settings, name: str | None = None) -> Source:
    """The source that the settings (or ``name``) choose. Raises SourceError for one that is not known."""
    wanted = name or settings.devices_source
    if wanted not in SOURCES:
        raise SourceError(
            f"{wanted!r} is no source of device metadata (IOT_DEVICES_SOURCE). Known: {', '.join(SOURCES)}."
        )
    return SOURCES[wanted](settings)
