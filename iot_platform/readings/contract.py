"""What a reading is: the three columns that every source delivers and every layer keeps."""

from __future__ import annotations

import pyarrow as pa

#: One reading of one meter.
#:
#: timestamp        start of the interval, UTC, whole seconds
#: device_id        the meter
#: power_usage_kWh  energy used in the interval that starts at ``timestamp`` (energy, in spite of the column's name)
READING_SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("timestamp", pa.timestamp("s", tz="UTC")),
        pa.field("device_id", pa.uint32()),
        pa.field("power_usage_kWh", pa.float64()),
    ]
)
