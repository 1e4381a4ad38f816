-- L3: L2 with the metadata that was valid at the reading's time. No metadata: has_metadata = 0 and no coordinates
-- (NULL, not 0/0, which is a point in the sea).
CREATE TABLE IF NOT EXISTS l3_power_joined
(
    timestamp       DateTime('UTC') COMMENT 'Start of the interval that was measured' CODEC(DoubleDelta, ZSTD(1)),
    device_id       UInt32 COMMENT 'The meter' CODEC(Delta, ZSTD(1)),
    power_usage_kWh Float64 COMMENT 'Energy used in the interval' CODEC(ZSTD(1)),
    customer_id     String COMMENT 'Who paid for it then; empty without metadata' CODEC(ZSTD(1)),
    building_type   LowCardinality(String) COMMENT 'Kind of building then; unknown without metadata',
    latitude        Nullable(Float64) COMMENT 'Degrees north; NULL without metadata' CODEC(ZSTD(1)),
    longitude       Nullable(Float64) COMMENT 'Degrees east; NULL without metadata' CODEC(ZSTD(1)),
    has_metadata    UInt8 COMMENT '1: the device was known at that time'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(timestamp)
ORDER BY (device_id, timestamp)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'L3 joined: cleaned readings with the metadata valid at their time';
