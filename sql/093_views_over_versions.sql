-- replaces tables of any size
-- The names and columns of before, as views over the tables of 092. Filters on their columns reach the tables; what a
-- number stands for, such as the customer, is looked up for each row.
--
-- local_hour_part: which part of which hour of the site's clock a row is. Where a clock is off by a half hour, an hour of
-- UTC has the end of one of its hours and the begin of the next. One number, so that parts are counted fast:
--   from bit 48: zone_id
--   bits 16-47: when that hour of the clock begins, as Unix time
--   bits 8-15: how many minutes it has: 60, or another number where the clock changes
--   bits 2-7: how many of them are in this part
--   bit 1: its begin is in this part; bit 0: its end is in this part
-- An hour in which the clock changes consists of its time before and its time after the change.

-- A table is replaced by its view in one step, so its name always answers: the old views end first, and readers miss what
-- arrives in the fraction of a second until then. ClickHouse drops the old tables after 8 minutes, or when no query reads
-- them any more. The file may be applied in part and run again: the new views get their final names only in 097.

DROP VIEW IF EXISTS mv_l2_to_l3 SYNC;
DROP VIEW IF EXISTS mv_l3_to_l4_hourly SYNC;
DROP VIEW IF EXISTS mv_l3_to_l4_by_building_type SYNC;
DROP VIEW IF EXISTS mv_l3_to_l4_by_device SYNC;

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
    readings.version AS version
FROM l3_power_by_version AS readings
COMMENT 'L3 joined: cleaned readings with the metadata valid at their time';

CREATE OR REPLACE VIEW l4_power_agg_hourly_store AS
WITH
    dictGet('time_zone_offsets', ('offset_s', 'changes_at', 'offset_after_s'),
            toUInt64(dictGet('device_version_attributes', 'zone_id', hours.version)) * 4096 + bitShiftRight(toUInt32(hours.ts_hour), 20)) AS clock,
    toInt64(clock.2) AS changes_at,
    toInt64(toUInt32(hours.ts_hour)) AS starts_at,
    toInt64(toUInt32(hours.local_hour)) AS local_starts_at,
    local_starts_at - clock.1 AS begins_before,
    least(local_starts_at + 3600 - clock.1, changes_at) AS ends_before,
    greatest(local_starts_at - clock.3, changes_at) AS begins_after,
    local_starts_at + 3600 - clock.3 AS ends_after,
    if(begins_before < ends_before, begins_before, begins_after) AS begins_at,
    if(begins_after < ends_after, ends_after, ends_before) AS ends_at,
    greatest(0, ends_before - begins_before) + greatest(0, ends_after - begins_after) AS length_s,
    greatest(0, least(ends_before, starts_at + 3600) - greatest(begins_before, starts_at))
        + greatest(0, least(ends_after, starts_at + 3600) - greatest(begins_after, starts_at)) AS part_s
SELECT
    hours.ts_hour AS ts_hour,
    hours.device_id AS device_id,
    dictGet('device_version_attributes', 'customer_id', hours.version) AS customer_id,
    dictGet('device_version_attributes', 'building_type', hours.version) AS building_type,
    dictGet('device_version_attributes', 'latitude', hours.version) AS latitude,
    dictGet('device_version_attributes', 'longitude', hours.version) AS longitude,
    dictGet('device_version_attributes', 'has_metadata', hours.version) AS has_metadata,
    hours.total_kWh AS total_kWh,
    hours.readings AS readings,
    hours.max_kWh AS max_kWh,
    hours.local_hour AS local_hour,
    dictGet('device_version_attributes', 'time_zone', hours.version) AS time_zone,
    hours.version AS version,
    bitShiftLeft(toUInt64(dictGet('device_version_attributes', 'zone_id', hours.version)), 48)
        + bitShiftLeft(toUInt64(begins_at), 16)
        + bitShiftLeft(toUInt64(intDiv(length_s, 60)), 8)
        + bitShiftLeft(toUInt64(intDiv(part_s, 60)), 2)
        + 2 * (begins_at >= starts_at) + (ends_at <= starts_at + 3600) AS local_hour_part
FROM l4_power_hourly_by_version AS hours
COMMENT 'The rows of l4_power_agg_hourly as they are stored, with exact energy: sum, never count them';

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
    hours.version AS version
FROM l4_power_hourly_by_version AS hours FINAL
COMMENT 'L4: energy per hour and device. Average of several rows: sum(total_kWh) / sum(readings)';

CREATE OR REPLACE VIEW l4_power_by_building_type_hourly AS
WITH
    dictGet('time_zone_offsets', ('offset_s', 'changes_at', 'offset_after_s'),
            toUInt64(hours.zone_id) * 4096 + bitShiftRight(toUInt32(hours.ts_hour), 20)) AS clock,
    toInt64(clock.2) AS changes_at,
    toInt64(toUInt32(hours.ts_hour)) AS starts_at,
    toInt64(toUInt32(hours.local_hour)) AS local_starts_at,
    local_starts_at - clock.1 AS begins_before,
    least(local_starts_at + 3600 - clock.1, changes_at) AS ends_before,
    greatest(local_starts_at - clock.3, changes_at) AS begins_after,
    local_starts_at + 3600 - clock.3 AS ends_after,
    if(begins_before < ends_before, begins_before, begins_after) AS begins_at,
    if(begins_after < ends_after, ends_after, ends_before) AS ends_at,
    greatest(0, ends_before - begins_before) + greatest(0, ends_after - begins_after) AS length_s,
    greatest(0, least(ends_before, starts_at + 3600) - greatest(begins_before, starts_at))
        + greatest(0, least(ends_after, starts_at + 3600) - greatest(begins_after, starts_at)) AS part_s
SELECT
    hours.ts_hour AS ts_hour,
    hours.local_hour AS local_hour,
    dictGet('building_type_name', 'name', hours.type_id) AS building_type,
    hours.has_metadata AS has_metadata,
    hours.total_kWh AS total_kWh,
    hours.readings AS readings,
    hours.max_kWh AS max_kWh,
    dictGet('time_zone_name', 'name', hours.zone_id) AS time_zone,
    bitShiftLeft(toUInt64(hours.zone_id), 48)
        + bitShiftLeft(toUInt64(begins_at), 16)
        + bitShiftLeft(toUInt64(intDiv(length_s, 60)), 8)
        + bitShiftLeft(toUInt64(intDiv(part_s, 60)), 2)
        + 2 * (begins_at >= starts_at) + (ends_at <= starts_at + 3600) AS local_hour_part
FROM l4_power_hourly_by_type AS hours
COMMENT 'L4 mart: energy per hour and building type. Sum its rows, never count them';

CREATE OR REPLACE VIEW l4_power_by_device_daily AS
SELECT
    days.ts_hour AS ts_hour,
    days.device_id AS device_id,
    dictGet('device_version_attributes', 'customer_id', days.version) AS customer_id,
    dictGet('device_version_attributes', 'building_type', days.version) AS building_type,
    dictGet('device_version_attributes', 'latitude', days.version) AS latitude,
    dictGet('device_version_attributes', 'longitude', days.version) AS longitude,
    dictGet('device_version_attributes', 'has_metadata', days.version) AS has_metadata,
    days.total_kWh AS total_kWh,
    days.readings AS readings,
    days.max_kWh AS max_kWh,
    days.version AS version
FROM l4_power_daily_by_version AS days
COMMENT 'L4 mart: energy per day and device. Sum its rows, never count them';

DROP DICTIONARY IF EXISTS device_current SYNC;
DROP DICTIONARY IF EXISTS device_history SYNC;
DROP VIEW IF EXISTS device_past_versions SYNC;
