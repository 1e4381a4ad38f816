"""Compare the readings of a file with what the same meters used before."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.devices.meter_ids import MeterIds
from iot_platform.readings.files.series import Floats

# The mean of a reading is so many times more or less. (Wh and kWh differ by 1000; half hours and days by 48.)
FACTOR = 50
# So many meters of a file are looked up.
MOST_METERS = 1_000

_MEANS = """
SELECT device_id, toFloat64(sum(total_kWh)) / sum(readings)
FROM l4_power_daily_by_version
WHERE device_id IN {devices:Array(UInt32)}
GROUP BY device_id
HAVING sum(readings) > 0 AND sum(total_kWh) > 0
"""


class UsualUse:
    """Looks up the mean energy of the readings of meters in L4: with one query for each file."""

    def __init__(self, client: Client, meter_ids: MeterIds) -> None:
        self._client = client
        self._meter_ids = meter_ids
        self._is_empty: bool | None = None

    def warnings(self, names: list[str], means_kWh: Floats) -> list[str]:
        """A warning, if meters of a file use far more or less than before. ``means_kWh``: that of their readings."""
        if self._is_empty is None:
            self._is_empty = not self._client.query("SELECT 1 FROM l4_power_daily_by_version LIMIT 1").result_rows
        if self._is_empty:
            return []
        devices = self._meter_ids.known_device_ids(pa.array(names[:MOST_METERS], pa.string())).to_pylist()
        known = {device: index for index, device in enumerate(devices) if device is not None and means_kWh[index] > 0}
        if not known:
            return []
        rows = self._client.query(_MEANS, parameters={"devices": list(known)}).result_rows
        odd = [
            (names[known[device]], float(before), float(means_kWh[known[device]]))
            for device, before in rows
            if not 1 / FACTOR < means_kWh[known[device]] / before < FACTOR
        ]
        if not odd:
            return []
        name, before, now = max(odd, key=lambda found: abs(np.log(found[2] / found[1])))
        return [
            f"{len(odd):,} of {len(rows):,} meters with readings of before use far more or less now, such as meter "
            f"{name}: {now:.4g} kWh in the mean of its readings, and {before:.4g} kWh before. Is the unit right?"
        ]
