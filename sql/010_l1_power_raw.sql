-- L1: everything that arrived, as it arrived. Append-only: the only truth; every other layer can be made from it.
-- reject_reason is computed when read, so that the rule has one text and a changed limit also reaches old readings.
-- A time that cannot be true goes to partition 0: a block of scattered wrong times must not open a thousand partitions.
CREATE TABLE IF NOT EXISTS l1_power_raw
(
    timestamp       DateTime('UTC') COMMENT 'Start of the interval that was measured' CODEC(DoubleDelta, ZSTD(1)),
    device_id       UInt32 COMMENT 'The meter; 0 is no meter' CODEC(Delta, ZSTD(1)),
    power_usage_kWh Float64 COMMENT 'Energy used in the interval' CODEC(ZSTD(1)),
    ingested_at     DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When ClickHouse received it' CODEC(DoubleDelta, ZSTD(1)),
    reject_reason   LowCardinality(String) ALIAS multiIf(
        device_id = 0, 'no_device',
        isNaN(power_usage_kWh), 'not_a_number',
        isInfinite(power_usage_kWh), 'infinite',
        power_usage_kWh < 0, 'negative',
        timestamp < toDateTime('2000-01-01 00:00:00', 'UTC'), 'too_old',
        timestamp > ingested_at + INTERVAL 10 MINUTE, 'in_the_future',
        power_usage_kWh >= dictGetOrDefault('device_limits', 'max_kWh', device_id,
                                            dictGet('device_limits', 'max_kWh', toUInt64(0))), 'over_limit',
        '') COMMENT 'Why L2 refuses the reading; empty: it is valid'
)
ENGINE = MergeTree
PARTITION BY if(timestamp < toDateTime('2000-01-01 00:00:00', 'UTC') OR timestamp > ingested_at + INTERVAL 1 DAY,
                0, toYYYYMMDD(timestamp))
ORDER BY (device_id, timestamp)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'L1 raw: every reading as it arrived';
