"""The schema of a reading: the three columns that every source delivers and every layer has."""

from __future__ import annotations

import pyarrow as pa

# One reading of one meter.
#
# timestamp        start of the interval, UTC, whole seconds
# device_id        the meter
# power_usage_kWh  energy used in the interval that starts at ``timestamp`` (not power, despite the name)
_COLUMNS: dict[str, pa.DataType] = {
    "timestamp": pa.timestamp("s", tz="UTC"),
    "device_id": pa.uint32(),
    "power_usage_kWh": pa.float64(),
}
READING_SCHEMA = pa.schema(_COLUMNS)
