-- Example of a new column through the whole chain: the voltage of each reading (docs/schema-evolution.md). Copy it into
-- sql/; numbers from 900 on are yours. Every statement can run again: a migration that failed half way is simply repeated.
--
-- Readings flow meanwhile, so the order matters. Tables before views: a view whose target lacks a column leaves it out,
-- but ClickHouse refuses a view whose source lacks it. Each from the end of the chain to its start: what flows through a
-- step finds those behind it ready. L1 is the last table, as writers deliver the column from the moment L1 has it. No
-- view directly behind its own source: an insert takes the structure of its tables first and the views a moment later.
--
-- An insert that is under way between two statements may leave its voltage in L1 alone. Nothing else of it is touched,
-- and its day is open like any that was written to: the next proof takes the voltage to the layers behind.

-- Only values that every order of merging leaves the same may go into the store: least and greatest, not an average.
ALTER TABLE l4_power_agg_hourly_store
    ADD COLUMN IF NOT EXISTS min_voltage SimpleAggregateFunction(min, Nullable(Float32)) COMMENT 'Lowest voltage of the hour, V; NULL: none was sent',
    ADD COLUMN IF NOT EXISTS max_voltage SimpleAggregateFunction(max, Nullable(Float32)) COMMENT 'Highest voltage of the hour, V; NULL: none was sent';

ALTER TABLE l3_power_joined
    ADD COLUMN IF NOT EXISTS voltage Nullable(Float32) COMMENT 'Voltage, V; NULL: not sent' CODEC(ZSTD(1));

ALTER TABLE power_quarantine
    ADD COLUMN IF NOT EXISTS voltage Nullable(Float32) COMMENT 'Voltage as sent, V; NULL: not sent' CODEC(ZSTD(1));

ALTER TABLE l2_power_cleaned
    ADD COLUMN IF NOT EXISTS voltage Nullable(Float32) COMMENT 'Voltage, V; NULL: not sent' CODEC(ZSTD(1));

ALTER TABLE l1_power_raw
    ADD COLUMN IF NOT EXISTS voltage Nullable(Float32) COMMENT 'Voltage as sent, V; NULL: not sent' CODEC(ZSTD(1));

-- NaN has no place in an order: with it, the least value would depend on which row came first.
ALTER TABLE mv_l3_to_l4_hourly MODIFY QUERY
SELECT
    toStartOfHour(timestamp) AS ts_hour,
    device_id,
    customer_id,
    building_type,
    anyLast(latitude) AS latitude,
    anyLast(longitude) AS longitude,
    max(has_metadata) AS has_metadata,
    sum(toDecimal64(power_usage_kWh + 5e-10, 9)) AS total_kWh,
    count() AS readings,
    max(power_usage_kWh + 0) AS max_kWh,
    toStartOfHour(local_time) AS local_hour,
    anyLast(time_zone) AS time_zone,
    minIf(voltage, isFinite(voltage)) AS min_voltage,
    maxIf(voltage, isFinite(voltage)) AS max_voltage
FROM l3_power_joined
GROUP BY ts_hour, device_id, customer_id, building_type, local_hour;

ALTER TABLE mv_l2_to_l3 MODIFY QUERY
WITH
    if(timestamp >= dictGet('device_current', 'valid_from', device_id),
       dictGet('device_current',
               ('customer_id', 'building_type', 'latitude', 'longitude', 'has_metadata', 'time_zone'), device_id),
       dictGet('device_history',
               ('customer_id', 'building_type', 'latitude', 'longitude', 'has_metadata', 'time_zone'), device_id, timestamp)
    ) AS version
SELECT
    timestamp,
    device_id,
    power_usage_kWh,
    version.1 AS customer_id,
    version.2 AS building_type,
    version.3 AS latitude,
    version.4 AS longitude,
    version.5 AS has_metadata,
    ingested_at,
    version.6 AS time_zone,
    toDateTime(toString(timestamp, version.6), 'UTC') AS local_time,
    voltage
FROM l2_power_cleaned;

ALTER TABLE mv_l1_to_quarantine MODIFY QUERY
SELECT timestamp, device_id, power_usage_kWh, ingested_at, reject_reason, voltage
FROM l1_power_raw
WHERE reject_reason != '';

-- The new column decides last which of several readings of one key wins: the choice must be the same each time.
ALTER TABLE mv_l1_to_l2 MODIFY QUERY
SELECT timestamp, device_id, power_usage_kWh + 0 AS power_usage_kWh, ingested_at, voltage
FROM l1_power_raw
WHERE reject_reason = ''
ORDER BY device_id, timestamp, ingested_at DESC, power_usage_kWh DESC, voltage DESC
LIMIT 1 BY device_id, timestamp;

-- In place of the old text in one step: whoever reads sees the one or the other. New columns come last.
CREATE OR REPLACE VIEW l4_power_agg_hourly AS
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
    s.max_kWh AS max_kWh,
    s.local_hour AS local_hour,
    s.time_zone AS time_zone,
    s.min_voltage AS min_voltage,
    s.max_voltage AS max_voltage
FROM l4_power_agg_hourly_store AS s FINAL
COMMENT 'L4: energy per hour and device. Average of several rows: sum(total_kWh) / sum(readings)';
