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
ALTER TABLE l4_power_hourly_by_version
    ADD COLUMN IF NOT EXISTS min_voltage SimpleAggregateFunction(min, Nullable(Float32)) COMMENT 'Lowest voltage of the hour, V; NULL: none was sent',
    ADD COLUMN IF NOT EXISTS max_voltage SimpleAggregateFunction(max, Nullable(Float32)) COMMENT 'Highest voltage of the hour, V; NULL: none was sent';

ALTER TABLE l3_power_by_version
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
    version,
    sum(toDecimal64(power_usage_kWh + 5e-10, 9)) AS total_kWh,  -- rounds: toDecimal64 alone cuts off
    count() AS readings,
    max(power_usage_kWh + 0) AS max_kWh,  -- 0 of -0
    toStartOfHour(local_time) AS local_hour,
    minIf(voltage, isFinite(voltage)) AS min_voltage,
    maxIf(voltage, isFinite(voltage)) AS max_voltage
FROM l3_power_by_version
GROUP BY device_id, ts_hour, local_hour, version;

ALTER TABLE mv_l2_to_l3 MODIFY QUERY
WITH
    if(device_id < 16777216,
       dictGet('device_newest_version_of_small_ids', 'start_and_version', device_id),
       dictGet('device_newest_version_of_large_ids', 'start_and_version', device_id)) AS newest,
    if(toUInt32(timestamp) >= bitShiftRight(newest, 32),
       toUInt32(bitAnd(newest, 4294967295)),
       dictGet('device_past_version', 'version', device_id, timestamp)) AS number,
    dictGet('time_zone_offsets', ('offset_s', 'changes_at', 'offset_after_s'),
            toUInt64(dictGet('device_version_attributes', 'zone_id', number)) * 4096
                + bitShiftRight(toUInt32(timestamp), 20)) AS clock
SELECT
    timestamp,
    device_id,
    power_usage_kWh,
    number AS version,
    ingested_at,
    timestamp + if(toUInt32(timestamp) < clock.2, clock.1, clock.3) AS local_time,
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
    hours.ts_hour AS ts_hour,
    hours.device_id AS device_id,
    dictGet('device_version_attributes', 'customer_id', hours.version) AS customer_id,
    dictGet('device_version_attributes', 'building_type', hours.version) AS building_type,
    dictGet('device_version_attributes', 'latitude', hours.version) AS latitude,
    dictGet('device_version_attributes', 'longitude', hours.version) AS longitude,
    dictGet('device_version_attributes', 'has_metadata', hours.version) AS has_metadata,
    toFloat64(hours.total_kWh) AS total_kWh,
    toFloat64(hours.total_kWh) / hours.readings AS avg_kWh,
    hours.readings AS readings,
    hours.max_kWh AS max_kWh,
    hours.local_hour AS local_hour,
    dictGet('device_version_attributes', 'time_zone', hours.version) AS time_zone,
    hours.version AS version,
    dictGetOrDefault('device_meter_ids', 'meter_id', hours.device_id, toString(hours.device_id)) AS meter_id,
    hours.min_voltage AS min_voltage,
    hours.max_voltage AS max_voltage
FROM l4_power_hourly_by_version AS hours FINAL
COMMENT 'L4: energy per hour and device. Average of several rows: sum(total_kWh) / sum(readings)';

CREATE OR REPLACE VIEW l3_power_joined AS
SELECT
    readings.timestamp AS timestamp,
    readings.device_id AS device_id,
    readings.power_usage_kWh AS power_usage_kWh,
    dictGet('device_version_attributes', 'customer_id', readings.version) AS customer_id,
    dictGet('device_version_attributes', 'building_type', readings.version) AS building_type,
    dictGet('device_version_attributes', 'latitude', readings.version) AS latitude,
    dictGet('device_version_attributes', 'longitude', readings.version) AS longitude,
    dictGet('device_version_attributes', 'has_metadata', readings.version) AS has_metadata,
    readings.ingested_at AS ingested_at,
    dictGet('device_version_attributes', 'time_zone', readings.version) AS time_zone,
    readings.local_time AS local_time,
    readings.version AS version,
    dictGetOrDefault('device_meter_ids', 'meter_id', readings.device_id, toString(readings.device_id)) AS meter_id,
    readings.voltage AS voltage
FROM l3_power_by_version AS readings
COMMENT 'L3 joined: cleaned readings with the metadata valid at their time';
