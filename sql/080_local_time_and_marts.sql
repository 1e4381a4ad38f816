-- The clock of the site, and marts for dashboards.
--
-- Readings flow meanwhile, so tables come before views, and both from the end of the chain to its start. Days from
-- before this migration differ, and L4 and the marts lack them, until they are proved: run `iot-platform prove`.

ALTER TABLE device_metadata
    ADD COLUMN IF NOT EXISTS time_zone LowCardinality(String) DEFAULT '' COMMENT 'IANA zone of the site; empty: not known, its clock counts as UTC' AFTER longitude;

-- A zone that this ClickHouse does not know would stop every insert.
CREATE OR REPLACE VIEW device_versions AS
SELECT
    device_id,
    valid_from,
    CAST(NULL, 'Nullable(DateTime(\'UTC\'))') AS valid_to,
    if(is_removed, '', customer_id) AS customer_id,
    if(is_removed, 'unknown', toString(building_type)) AS building_type,
    if(is_removed, NULL, latitude) AS latitude,
    if(is_removed, NULL, longitude) AS longitude,
    NOT is_removed AS has_metadata,
    if(NOT is_removed AND time_zone IN (SELECT time_zone FROM system.time_zones), toString(time_zone), 'UTC') AS time_zone
FROM device_metadata FINAL
COMMENT 'Every version of every device as the join sees it';

CREATE OR REPLACE VIEW device_current_versions AS
SELECT device_id, valid_from, customer_id, building_type, latitude, longitude, has_metadata, time_zone
FROM device_versions
ORDER BY valid_from DESC
LIMIT 1 BY device_id
COMMENT 'The newest version of each device';

CREATE OR REPLACE VIEW device_past_versions AS
SELECT device_id, valid_from, valid_to, customer_id, building_type, latitude, longitude, has_metadata, time_zone
FROM device_versions
WHERE device_id IN
(
    SELECT device_id FROM device_metadata GROUP BY device_id HAVING max(valid_from) > toDateTime(0, 'UTC')
)
COMMENT 'All versions of the devices whose newest version is not valid since ever';

CREATE OR REPLACE DICTIONARY device_current
(
    device_id     UInt64,
    valid_from    DateTime('UTC'),
    customer_id   String,
    building_type String DEFAULT 'unknown',
    latitude      Nullable(Float64),
    longitude     Nullable(Float64),
    has_metadata  UInt8,
    time_zone     String DEFAULT 'UTC'
)
PRIMARY KEY device_id
SOURCE(CLICKHOUSE(TABLE 'device_current_versions'))
LAYOUT(HASHED_ARRAY())
LIFETIME(0)
COMMENT 'Newest metadata of each device';

CREATE OR REPLACE DICTIONARY device_history
(
    device_id     UInt64,
    valid_from    DateTime('UTC'),
    valid_to      Nullable(DateTime('UTC')),
    customer_id   String,
    building_type String DEFAULT 'unknown',
    latitude      Nullable(Float64),
    longitude     Nullable(Float64),
    has_metadata  UInt8,
    time_zone     String DEFAULT 'UTC'
)
PRIMARY KEY device_id
SOURCE(CLICKHOUSE(TABLE 'device_past_versions'))
LAYOUT(RANGE_HASHED(RANGE_LOOKUP_STRATEGY 'max'))
RANGE(MIN valid_from MAX valid_to)
LIFETIME(0)
COMMENT 'Every version of the devices with a history';

-- Devices come first in the order now, as in L3: what is asked of one device reads a few thousand rows of each day.
-- An hour of UTC has two hours of the clock where that is off by a half hour: then it has two rows.
DROP TABLE IF EXISTS l4_power_agg_hourly_by_device SYNC;

CREATE TABLE l4_power_agg_hourly_by_device
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
    max_kWh       SimpleAggregateFunction(max, Float64) COMMENT 'Largest single reading' CODEC(ZSTD(1)),
    local_hour    DateTime('UTC') DEFAULT ts_hour COMMENT 'Hour on the clock of the site, written as if it were UTC' CODEC(DoubleDelta, ZSTD(1)),
    time_zone     SimpleAggregateFunction(anyLast, LowCardinality(String)) DEFAULT 'UTC' COMMENT 'Zone of that clock',
    INDEX customers customer_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(ts_hour)
ORDER BY (device_id, ts_hour, local_hour, customer_id, building_type)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Store of l4_power_agg_hourly: sum, never count its rows; one by one they are read through the view';

EXCHANGE TABLES l4_power_agg_hourly_by_device AND l4_power_agg_hourly_store;

DROP TABLE l4_power_agg_hourly_by_device SYNC;

-- What is asked of all devices together: at most a few hundred rows a day, whatever the number of devices.
CREATE TABLE IF NOT EXISTS l4_power_by_building_type_hourly
(
    ts_hour       DateTime('UTC') COMMENT 'Start of the UTC hour' CODEC(DoubleDelta, ZSTD(1)),
    local_hour    DateTime('UTC') COMMENT 'Hour on the clocks of the sites, written as if it were UTC' CODEC(DoubleDelta, ZSTD(1)),
    building_type LowCardinality(String) COMMENT 'Kind of building in that hour',
    has_metadata  UInt8 COMMENT '1: the devices were known in that hour',
    total_kWh     SimpleAggregateFunction(sum, Decimal(38, 9)) COMMENT 'Energy of the hour' CODEC(ZSTD(1)),
    readings      SimpleAggregateFunction(sum, UInt64) COMMENT 'Number of readings' CODEC(ZSTD(1)),
    max_kWh       SimpleAggregateFunction(max, Float64) COMMENT 'Largest single reading' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(ts_hour)
ORDER BY (ts_hour, local_hour, building_type, has_metadata)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'L4 mart: energy per hour and building type. Sum its rows, never count them';

-- What is asked of each device over days. A device may move within a day: then each place has its row.
CREATE TABLE IF NOT EXISTS l4_power_by_device_daily
(
    ts_hour       DateTime('UTC') COMMENT 'Start of the UTC day; named as in the other marts, so that one question fits all' CODEC(DoubleDelta, ZSTD(1)),
    device_id     UInt32 COMMENT 'The meter' CODEC(Delta, ZSTD(1)),
    customer_id   String COMMENT 'Who paid for it on that day' CODEC(ZSTD(1)),
    building_type LowCardinality(String) COMMENT 'Kind of building on that day',
    latitude      Nullable(Float64) COMMENT 'Degrees north; NULL without metadata' CODEC(ZSTD(1)),
    longitude     Nullable(Float64) COMMENT 'Degrees east; NULL without metadata' CODEC(ZSTD(1)),
    has_metadata  UInt8 COMMENT '1: the device was known then',
    total_kWh     SimpleAggregateFunction(sum, Decimal(38, 9)) COMMENT 'Energy of the day' CODEC(ZSTD(1)),
    readings      SimpleAggregateFunction(sum, UInt64) COMMENT 'Number of readings' CODEC(ZSTD(1)),
    max_kWh       SimpleAggregateFunction(max, Float64) COMMENT 'Largest single reading' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(ts_hour)
ORDER BY (device_id, ts_hour, customer_id, building_type, latitude, longitude, has_metadata)
SETTINGS non_replicated_deduplication_window = 10000, allow_nullable_key = 1
COMMENT 'L4 mart: energy per day and device. Sum its rows, never count them';

ALTER TABLE l3_power_joined
    ADD COLUMN IF NOT EXISTS time_zone LowCardinality(String) DEFAULT 'UTC' COMMENT 'IANA zone of the site then; UTC without metadata',
    ADD COLUMN IF NOT EXISTS local_time DateTime('UTC') DEFAULT timestamp COMMENT 'The timestamp on the clock of the site, written as if it were UTC' CODEC(DoubleDelta, ZSTD(1));

CREATE MATERIALIZED VIEW IF NOT EXISTS mv_l3_to_l4_by_device TO l4_power_by_device_daily AS
SELECT
    toStartOfDay(timestamp) AS ts_hour,
    device_id,
    customer_id,
    building_type,
    latitude + 0 AS latitude,  -- 0 of -0, so that both are one key
    longitude + 0 AS longitude,
    has_metadata,
    sum(toDecimal64(power_usage_kWh + 5e-10, 9)) AS total_kWh,
    count() AS readings,
    max(power_usage_kWh + 0) AS max_kWh
FROM l3_power_joined
GROUP BY ts_hour, device_id, customer_id, building_type, latitude, longitude, has_metadata;

CREATE MATERIALIZED VIEW IF NOT EXISTS mv_l3_to_l4_by_building_type TO l4_power_by_building_type_hourly AS
SELECT
    toStartOfHour(timestamp) AS ts_hour,
    toStartOfHour(local_time) AS local_hour,
    building_type,
    has_metadata,
    sum(toDecimal64(power_usage_kWh + 5e-10, 9)) AS total_kWh,
    count() AS readings,
    max(power_usage_kWh + 0) AS max_kWh
FROM l3_power_joined
GROUP BY ts_hour, local_hour, building_type, has_metadata;

ALTER TABLE mv_l3_to_l4_hourly MODIFY QUERY
SELECT
    toStartOfHour(timestamp) AS ts_hour,
    device_id,
    customer_id,
    building_type,
    anyLast(latitude) AS latitude,
    anyLast(longitude) AS longitude,
    max(has_metadata) AS has_metadata,
    sum(toDecimal64(power_usage_kWh + 5e-10, 9)) AS total_kWh,  -- rounds: toDecimal64 alone cuts off
    count() AS readings,
    max(power_usage_kWh + 0) AS max_kWh,  -- 0 of -0
    toStartOfHour(local_time) AS local_hour,
    anyLast(time_zone) AS time_zone
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
    toDateTime(toString(timestamp, version.6), 'UTC') AS local_time
FROM l2_power_cleaned;

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
    s.time_zone AS time_zone
FROM l4_power_agg_hourly_store AS s FINAL
COMMENT 'L4: energy per hour and device. Average of several rows: sum(total_kWh) / sum(readings)';
