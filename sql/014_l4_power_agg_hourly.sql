-- L4: one row per hour and device once merged. Sums are exact decimals (1e-9 kWh), so that they do not depend on the
-- order of addition and a checksum over them settles. Averages are never stored: they are divided when read.
CREATE TABLE IF NOT EXISTS l4_power_agg_hourly_store
(
    ts_hour       DateTime('UTC') COMMENT 'Start of the UTC hour' CODEC(DoubleDelta, ZSTD(1)),
    device_id     UInt32 COMMENT 'The meter' CODEC(Delta, ZSTD(1)),
    customer_id   String COMMENT 'Who paid for it in that hour' CODEC(ZSTD(1)),
    building_type LowCardinality(String) COMMENT 'Kind of building in that hour',
    latitude      SimpleAggregateFunction(anyLast, Nullable(Float64)) COMMENT 'Degrees north' CODEC(ZSTD(1)),
    longitude     SimpleAggregateFunction(anyLast, Nullable(Float64)) COMMENT 'Degrees east' CODEC(ZSTD(1)),
    has_metadata  SimpleAggregateFunction(max, UInt8) COMMENT '1: the device was known in that hour',
    total_kWh     SimpleAggregateFunction(sum, Decimal(38, 9)) COMMENT 'Energy of the hour' CODEC(ZSTD(1)),
    readings      SimpleAggregateFunction(sum, UInt64) COMMENT 'Number of readings' CODEC(ZSTD(1)),
    max_kWh       SimpleAggregateFunction(max, Float64) COMMENT 'Largest single reading' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(ts_hour)
ORDER BY (ts_hour, device_id, customer_id, building_type)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Store of l4_power_agg_hourly; read the view, not this table';

CREATE VIEW IF NOT EXISTS l4_power_agg_hourly AS
SELECT
    s.ts_hour AS ts_hour,
    s.device_id AS device_id,
    s.customer_id AS customer_id,
    s.building_type AS building_type,
    s.latitude AS latitude,
    s.longitude AS longitude,
    s.has_metadata AS has_metadata,
    toFloat64(s.total_kWh) AS total_kWh,
    toFloat64(s.total_kWh) / s.readings AS avg_kWh,
    s.readings AS readings,
    s.max_kWh AS max_kWh
FROM l4_power_agg_hourly_store AS s FINAL
COMMENT 'L4: energy per hour and device. Average of several rows: sum(total_kWh) / sum(readings)';
