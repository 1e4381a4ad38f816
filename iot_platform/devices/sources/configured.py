"""The sources of device metadata by name, as the settings describe them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from iot_platform.devices.sources.csv_file import CsvSource
from iot_platform.devices.sources.hubspot import HubSpotSource
from iot_platform.devices.sources.source import Source
from iot_platform.errors import SourceError
from iot_platform.settings import Settings


def csv_source(settings: Settings) -> CsvSource:
    """The CSV of the settings."""
    return CsvSource(
        settings.devices_location,
        complete=settings.devices_csv_complete,
        timeout_s=settings.source_timeout_s,
        max_bytes=settings.devices_max_bytes,
    )


def crm_source(settings: Settings) -> HubSpotSource:
    """The CRM of the settings. Raises SourceError when they do not describe one."""
    return HubSpotSource(
        settings.crm_url,
        settings.crm_token,
        object_type=settings.crm_object,
        fields=settings.crm_fields,
        modified=settings.crm_modified_property,
        timeout_s=settings.source_timeout_s,
        max_bytes=settings.devices_max_bytes,
    )


SOURCES: Mapping[str, Callable[[Settings], Source]] = {CsvSource.name: csv_source, HubSpotSource.name: crm_source}


def configured_source(settings: Settings, name: str | None = None) -> Source:
    """The source that the settings (or ``name``) choose. Raises SourceError for one that is not known."""
    wanted = name or settings.devices_source
    if wanted not in SOURCES:
        raise SourceError(
            f"{wanted!r} is no source of device metadata (IOT_DEVICES_SOURCE). Known: {', '.join(SOURCES)}."
        )
    return SOURCES[wanted](settings)
