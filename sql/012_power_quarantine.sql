-- Every reading that L2 refused, with the reason. Partitioned like L1.
CREATE TABLE IF NOT EXISTS power_quarantine
(
    timestamp       DateTime('UTC') COMMENT 'Start of the interval, as sent' CODEC(DoubleDelta, ZSTD(1)),
    device_id       UInt32 COMMENT 'The meter, as sent' CODEC(Delta, ZSTD(1)),
    power_usage_kWh Float64 COMMENT 'Energy, as sent' CODEC(ZSTD(1)),
    ingested_at     DateTime64(6, 'UTC') COMMENT 'When ClickHouse received it' CODEC(DoubleDelta, ZSTD(1)),
    reject_reason   LowCardinality(String) COMMENT 'Why L2 refused it'
)
ENGINE = MergeTree
PARTITION BY if(timestamp < toDateTime('2000-01-01 00:00:00', 'UTC') OR timestamp > ingested_at + INTERVAL 1 DAY,
                0, toYYYYMMDD(timestamp))
ORDER BY (device_id, timestamp)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Readings that L2 refused, with the reason';
