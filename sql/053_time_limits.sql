-- How old a reading may be and how far in the future, as data like power_limits.
-- What can be set ends where the partition keys of L1 and of the quarantine end: they hold 2000-01-01 and one day as
-- constants (a partition key cannot change), and what lies beyond is in partition 0, which never reaches L2.
CREATE TABLE IF NOT EXISTS time_limits
(
    name        Enum8('oldest_timestamp' = 1, 'max_future' = 2) COMMENT 'oldest_timestamp: older readings are refused; max_future: so are those that lie further after their arrival',
    value_s     UInt32 COMMENT 'oldest_timestamp: Unix time, from 2000-01-01 00:00:00 UTC on; max_future: seconds, at most 86400',
    is_removed  UInt8 DEFAULT 0 COMMENT '1: the built-in value holds again',
    recorded_at DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'The newest row of a name wins',
    CONSTRAINT oldest_timestamp_is_2000_or_later CHECK name != 'oldest_timestamp' OR value_s >= 946684800,
    CONSTRAINT max_future_is_at_most_a_day CHECK name != 'max_future' OR value_s <= 86400
)
ENGINE = ReplacingMergeTree(recorded_at)
ORDER BY name
COMMENT 'Limits of the time of a reading: the oldest timestamp, and how far in the future';

CREATE VIEW IF NOT EXISTS time_limit_values AS
SELECT
    candidates.name AS name,
    argMax(candidates.value_s, candidates.is_set) AS value_s,
    argMin(candidates.value_s, candidates.is_set) AS built_in_s,
    max(candidates.is_set) AS is_set
FROM
(
    SELECT 'oldest_timestamp' AS name, toUInt32(toDateTime('2000-01-01 00:00:00', 'UTC')) AS value_s, 0 AS is_set
    UNION ALL
    SELECT 'max_future', toUInt32(600), 0
    UNION ALL
    SELECT toString(time_limits.name), time_limits.value_s, 1 FROM time_limits FINAL WHERE NOT is_removed
) AS candidates
GROUP BY candidates.name
COMMENT 'The time limits in use; is_set = 0: the built-in value';

CREATE DICTIONARY IF NOT EXISTS reading_time_limits
(
    name    String,
    value_s UInt32
)
PRIMARY KEY name
SOURCE(CLICKHOUSE(TABLE 'time_limit_values'))
LAYOUT(COMPLEX_KEY_HASHED_ARRAY())
LIFETIME(0)
COMMENT 'Time limits of a reading';

ALTER TABLE l1_power_raw MODIFY COLUMN reject_reason LowCardinality(String) ALIAS multiIf(
    device_id = 0, 'no_device',
    isNaN(power_usage_kWh), 'not_a_number',
    isInfinite(power_usage_kWh), 'infinite',
    power_usage_kWh < 0, 'negative',
    timestamp < toDateTime(dictGet('reading_time_limits', 'value_s', 'oldest_timestamp'), 'UTC'), 'too_old',
    timestamp > ingested_at + toIntervalSecond(dictGet('reading_time_limits', 'value_s', 'max_future')), 'in_the_future',
    power_usage_kWh >= dictGetOrDefault('device_limits', 'max_kWh', device_id,
                                        dictGet('device_limits', 'max_kWh', toUInt64(0))), 'over_limit',
    '') COMMENT 'Why L2 refuses the reading; empty: it is valid';
