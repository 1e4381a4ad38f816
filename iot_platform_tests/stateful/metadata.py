"""What the device metadata must be after any sequence of refreshes: the rules of versions.py in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HOUR_S = 3600
UNKNOWN = "unknown"


@dataclass(frozen=True)
class DeviceRow:
    """A row of a metadata source; ``valid_from``: Unix time of a whole hour, or None."""

    device: int
    customer: str
    building_type: str
    latitude: float
    longitude: float
    valid_from: int | None = None

    @property
    def attributes(self) -> Attributes:
        return self.customer, self.building_type, self.latitude, self.longitude


Attributes = tuple[str, str, float, float]
# customer_id, building_type, latitude, longitude, has_metadata, time_zone, as L3 has them.
Joined = tuple[str, str, float | None, float | None, int, str]
NOTHING: Joined = ("", UNKNOWN, None, None, 0, "UTC")
# Places with the zones that lie there; one is off by a half hour, so its hours are none of UTC.
ZONES = {(51.5, -0.1): "Europe/London", (22.57, 88.36): "Asia/Kolkata"}


class Metadata:
    """Versions of each device by their beginning; None: the device is removed from then on."""

    def __init__(self) -> None:
        self._versions: dict[int, dict[int, Attributes | None]] = {}

    @property
    def devices(self) -> list[int]:
        return sorted(self._versions)

    def refresh(self, rows: Sequence[DeviceRow], now: int, *, complete: bool) -> None:
        """Take in what a source says at the time ``now``."""
        hour = now - now % HOUR_S
        stored = {device: dict(versions) for device, versions in self._versions.items()}
        listed = [row.device for row in rows]
        dated: list[tuple[int, DeviceRow]] = []
        for row in rows:
            is_state = row.valid_from is None and row.device in stored and listed.count(row.device) == 1
            if not is_state:
                start = row.valid_from or 0
                dated.append((start, row))
                self._versions.setdefault(row.device, {})[start] = row.attributes
            elif _at(stored[row.device], hour) != row.attributes:
                self._versions[row.device][hour] = row.attributes
        if complete:
            self._bring_back(dated, stored, hour)
            for device in stored.keys() - set(listed):
                self._close(device, hour)

    def _bring_back(
        self, dated: Sequence[tuple[int, DeviceRow]], stored: dict[int, dict[int, Attributes | None]], hour: int
    ) -> None:
        """A removed device that is listed again with times before its removal only is back from the hour on."""
        newest: dict[int, tuple[int, DeviceRow]] = {}
        for start, row in dated:
            if start <= hour and (row.device not in newest or start > newest[row.device][0]):
                newest[row.device] = start, row
        for device, (_, row) in newest.items():
            was_removed = None in stored.get(device, {}).values()
            if was_removed and _at(self._versions[device], hour) is None:
                self._versions[device][hour] = row.attributes

    def _close(self, device: int, hour: int) -> None:
        versions = self._versions[device]
        was_there = _at(versions, hour) is not None
        for start in versions:
            if start > hour:
                versions[start] = None
        if was_there:
            versions[hour] = None

    def joined(self, device: int, timestamp: int) -> Joined:
        """What L3 says of a reading."""
        found = _at(self._versions.get(device, {}), timestamp)
        return NOTHING if found is None else (*found, 1, ZONES[found[2:]])

    def type_at(self, device: int, timestamp: int) -> str | None:
        """The building type that decides about a reading's limit; None: the device had no version yet."""
        versions = self._versions.get(device, {})
        if not any(start <= timestamp for start in versions):
            return None
        found = _at(versions, timestamp)
        return UNKNOWN if found is None else found[1]


def _at(versions: dict[int, Attributes | None], time: int) -> Attributes | None:
    start = max((start for start in versions if start <= time), default=None)
    return None if start is None else versions[start]
