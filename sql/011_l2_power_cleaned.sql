-- L2: valid readings, one per (device_id, timestamp).
CREATE TABLE IF NOT EXISTS l2_power_cleaned
(
    timestamp       DateTime('UTC') COMMENT 'Start of the interval that was measured' CODEC(DoubleDelta, ZSTD(1)),
    device_id       UInt32 COMMENT 'The meter' CODEC(Delta, ZSTD(1)),
    power_usage_kWh Float64 COMMENT 'Energy used in the interval' CODEC(ZSTD(1)),
    ingested_at     DateTime64(6, 'UTC') COMMENT 'When ClickHouse received it' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(timestamp)
ORDER BY (device_id, timestamp)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'L2 cleaned: valid readings, one per device and timestamp';
