-- Example: add the voltage of each reading to every layer (docs/schema-evolution.md). Copy it to sql/; numbers from 900 on
-- are reserved for you. Every statement is repeatable: a failed migration is run again as a whole.
--
-- Readings flow meanwhile, so the order matters. Tables before views: a view omits a column that its target lacks, and
-- ClickHouse refuses a view whose source lacks it. From the end of the chain to its start: data that passes a step finds
-- the later steps ready. L1 is the last table, because writers deliver the column as soon as L1 has it. No view directly
-- after its own source: an insert reads the structure of its tables first and the views a moment later.
--
-- An insert in flight may leave its voltage in L1 only. Nothing else of it is affected, and its day is unverified like
-- any day that was written to: the next proof carries the voltage to the later layers.

-- Rows are merged in any order, so only values that do not depend on it may be stored: minimum and maximum, no average.
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

-- Without NaN: with it, the minimum would depend on the order of the rows.
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

-- The new column is the last criterion among readings with one key: the choice must always be the same.
ALTER TABLE mv_l1_to_l2 MODIFY QUERY
SELECT timestamp, device_id, power_usage_kWh + 0 AS power_usage_kWh, ingested_at, voltage
FROM l1_power_raw
WHERE reject_reason = ''
ORDER BY device_id, timestamp, ingested_at DESC, power_usage_kWh DESC, voltage DESC
LIMIT 1 BY device_id, timestamp;

-- Replaced in one step: a reader sees the old view or the new one. New columns come last.
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
