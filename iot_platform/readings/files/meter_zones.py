"""The time zones of meters, from their metadata."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.devices.meter_ids import MeterIds

_UTC = ("", "UTC", "Etc/UTC", "Etc/GMT", "GMT", "Zulu", "Universal")
_ZONES = """
SELECT device_id, toString(argMax(time_zone, valid_from)) AS zone
FROM device_metadata FINAL
WHERE NOT is_removed AND time_zone NOT IN {utc:Array(String)}
GROUP BY device_id
"""


class MeterZones:
    """The zones of meters, read once. (Meters that are not registered yet have no metadata.)"""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._zone_of_device: dict[int, str] | None = None

    def of(self, names: Sequence[str]) -> dict[str, str]:
        """The zones other than UTC of meters (by the ids in a file), and for each zone one of its meters."""
        if self._zone_of_device is None:
            rows = self._client.query(_ZONES, parameters={"utc": list(_UTC)}).result_rows
            self._zone_of_device = {int(device): str(zone) for device, zone in rows}
        if not self._zone_of_device:
            return {}
        devices = MeterIds(self._client).expected(pa.array(names, pa.string())).to_pylist()
        zones: dict[str, str] = {}
        for name, device in zip(names, devices, strict=True):
            if device in self._zone_of_device:
                zones.setdefault(self._zone_of_device[device], name)
        return zones
