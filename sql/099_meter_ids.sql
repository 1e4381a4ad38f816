-- A meter has its own id, as text, everywhere (see iot_platform/devices/meter_ids.py): a plain number is its own
-- device_id, and any other id is a name with a number in meter_ids. The views show the id in the column meter_id.

-- Rules that hold for the whole database. Rows are only added: the newest one of a name holds.
CREATE TABLE IF NOT EXISTS meter_id_rules
(
    name   LowCardinality(String) COMMENT 'leading_zeros',
    value  LowCardinality(String) COMMENT 'kept: 007 is a meter of its own; ignored: it is meter 7',
    set_at DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When the rule was set'
)
ENGINE = MergeTree
ORDER BY (name, set_at)
COMMENT 'How ids of meters are read';

-- In the version before, a file of numbers was read without leading zeros. What was loaded then must stay one meter.
INSERT INTO meter_id_rules (name, value)
SELECT 'leading_zeros', if((SELECT count() FROM l1_power_raw) + (SELECT count() FROM device_metadata) > 0, 'ignored', 'kept')
WHERE (SELECT count() FROM meter_id_rules WHERE name = 'leading_zeros') = 0;

CREATE VIEW IF NOT EXISTS device_meter_id_names AS
SELECT device_id, external_id AS meter_id FROM meter_ids FINAL
COMMENT 'The names of the meters that have one, by device_id';

CREATE DICTIONARY IF NOT EXISTS device_meter_ids
(
    device_id UInt64,
    meter_id  String
)
PRIMARY KEY device_id
SOURCE(CLICKHOUSE(TABLE 'device_meter_id_names'))
LAYOUT(HASHED_ARRAY())
LIFETIME(0)
COMMENT 'Names of meters by device_id; a meter without a name is called by the digits of its device_id';

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
    dictGetOrDefault('device_meter_ids', 'meter_id', readings.device_id, toString(readings.device_id)) AS meter_id
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
        + 2 * (begins_at >= starts_at) + (ends_at <= starts_at + 3600) AS local_hour_part,
    dictGetOrDefault('device_meter_ids', 'meter_id', hours.device_id, toString(hours.device_id)) AS meter_id
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
    hours.version AS version,
    dictGetOrDefault('device_meter_ids', 'meter_id', hours.device_id, toString(hours.device_id)) AS meter_id
FROM l4_power_hourly_by_version AS hours FINAL
COMMENT 'L4: energy per hour and device. Average of several rows: sum(total_kWh) / sum(readings)';

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
    days.version AS version,
    dictGetOrDefault('device_meter_ids', 'meter_id', days.device_id, toString(days.device_id)) AS meter_id
FROM l4_power_daily_by_version AS days
COMMENT 'L4 mart: energy per day and device. Sum its rows, never count them';

CREATE OR REPLACE VIEW device_current_versions AS
SELECT device_id, valid_from, customer_id, building_type, latitude, longitude, has_metadata, time_zone,
    dictGetOrDefault('device_meter_ids', 'meter_id', device_id, toString(device_id)) AS meter_id
FROM device_versions
ORDER BY valid_from DESC
LIMIT 1 BY device_id
COMMENT 'The newest version of each device';
