-- L3 and L4 with the number of the metadata's version instead of six columns of text, and marts made from the hourly one.
-- They fill beside the old tables from now on. `iot-platform migrate` then fills the days before (as a proof rebuilds them),
-- and the next migration replaces the old tables by views over the new ones.
--
-- 090 to 092 change nothing that an older version of the platform uses, and are recorded when the guards at the end find
-- nothing more. So the older version goes on until then, and can be kept.
--
-- Readings flow meanwhile, so tables come before views, and views from the end of the chain to its start.

CREATE TABLE IF NOT EXISTS l3_power_by_version
(
    timestamp       DateTime('UTC') COMMENT 'Start of the interval that was measured' CODEC(DoubleDelta, LZ4),
    device_id       UInt32 COMMENT 'The meter' CODEC(Delta, LZ4),
    power_usage_kWh Float64 COMMENT 'Energy used in the interval' CODEC(ZSTD(1)),
    version         UInt32 COMMENT 'The version of its metadata that was valid then; 0: none' CODEC(Delta, LZ4),
    ingested_at     DateTime64(6, 'UTC') COMMENT 'When the platform received it' CODEC(DoubleDelta, LZ4),
    local_time      DateTime('UTC') COMMENT 'The timestamp on the clock of the site, written as if it were UTC' CODEC(DoubleDelta, LZ4),
    -- Finds the versions of a customer.
    INDEX by_version version TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(timestamp)
ORDER BY (device_id, timestamp)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Table of l3_power_joined';

-- An hour of UTC has two hours of the clock where that is off by a half hour: then it has two rows. A version begins at
-- a whole hour of UTC, so an hour has one. After a change of metadata it may have several until the day is proved, each
-- with its own row: were they combined, the marts made from this one could not tell whose energy it is.
CREATE TABLE IF NOT EXISTS l4_power_hourly_by_version
(
    ts_hour       DateTime('UTC') COMMENT 'Start of the UTC hour' CODEC(DoubleDelta, LZ4),
    device_id     UInt32 COMMENT 'The meter' CODEC(Delta, LZ4),
    version       UInt32 COMMENT 'The version of its metadata; 0: none' CODEC(Delta, LZ4),
    total_kWh     SimpleAggregateFunction(sum, Decimal(38, 9)) COMMENT 'Energy of the hour' CODEC(ZSTD(1)),
    readings      SimpleAggregateFunction(sum, UInt64) COMMENT 'Number of readings' CODEC(ZSTD(1)),
    max_kWh       SimpleAggregateFunction(max, Float64) COMMENT 'Largest single reading' CODEC(ZSTD(1)),
    local_hour    DateTime('UTC') COMMENT 'Hour on the clock of the site, written as if it were UTC' CODEC(DoubleDelta, LZ4),
    INDEX by_version version TYPE minmax GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(ts_hour)
ORDER BY (device_id, ts_hour, local_hour, version)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Table of l4_power_agg_hourly: sum, never count its rows';

-- These two have a partition for each month: a question about a year opens a few parts instead of hundreds.
CREATE TABLE IF NOT EXISTS l4_power_hourly_by_type
(
    ts_hour       DateTime('UTC') COMMENT 'Start of the UTC hour' CODEC(DoubleDelta, LZ4),
    local_hour    DateTime('UTC') COMMENT 'Hour on the clocks of the sites, written as if it were UTC' CODEC(DoubleDelta, LZ4),
    zone_id       UInt32 COMMENT 'Zone of that clock; 0: UTC',
    type_id       UInt32 COMMENT 'Kind of building in that hour; 0: unknown',
    has_metadata  UInt8 COMMENT '1: the devices were known in that hour',
    total_kWh     SimpleAggregateFunction(sum, Decimal(38, 9)) COMMENT 'Energy of the hour' CODEC(ZSTD(1)),
    readings      SimpleAggregateFunction(sum, UInt64) COMMENT 'Number of readings' CODEC(ZSTD(1)),
    max_kWh       SimpleAggregateFunction(max, Float64) COMMENT 'Largest single reading' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(ts_hour)
ORDER BY (ts_hour, local_hour, zone_id, type_id, has_metadata)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Table of l4_power_by_building_type_hourly: sum, never count its rows';

CREATE TABLE IF NOT EXISTS l4_power_daily_by_version
(
    ts_hour       DateTime('UTC') COMMENT 'Start of the UTC day; named as in the other marts, so that one question fits all' CODEC(DoubleDelta, LZ4),
    device_id     UInt32 COMMENT 'The meter' CODEC(Delta, LZ4),
    version       UInt32 COMMENT 'The version of its metadata; 0: none' CODEC(Delta, LZ4),
    total_kWh     SimpleAggregateFunction(sum, Decimal(38, 9)) COMMENT 'Energy of the day' CODEC(ZSTD(1)),
    readings      SimpleAggregateFunction(sum, UInt64) COMMENT 'Number of readings' CODEC(ZSTD(1)),
    max_kWh       SimpleAggregateFunction(max, Float64) COMMENT 'Largest single reading' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(ts_hour)
ORDER BY (device_id, ts_hour, version)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Table of l4_power_by_device_daily: sum, never count its rows';

CREATE MATERIALIZED VIEW IF NOT EXISTS mv_l4_hourly_to_by_device TO l4_power_daily_by_version AS
SELECT
    toStartOfDay(hours.ts_hour) AS ts_hour,
    hours.device_id AS device_id,
    hours.version AS version,
    hours.total_kWh AS total_kWh,
    hours.readings AS readings,
    hours.max_kWh AS max_kWh
FROM l4_power_hourly_by_version AS hours;

CREATE MATERIALIZED VIEW IF NOT EXISTS mv_l4_hourly_to_by_building_type TO l4_power_hourly_by_type AS
WITH dictGet('device_version_attributes', ('zone_id', 'type_id', 'has_metadata'), hours.version) AS attributes
SELECT
    hours.ts_hour AS ts_hour,
    hours.local_hour AS local_hour,
    attributes.1 AS zone_id,
    attributes.2 AS type_id,
    attributes.3 AS has_metadata,
    sum(hours.total_kWh) AS total_kWh,
    sum(hours.readings) AS readings,
    max(hours.max_kWh) AS max_kWh
FROM l4_power_hourly_by_version AS hours
GROUP BY ts_hour, local_hour, zone_id, type_id, has_metadata;

CREATE MATERIALIZED VIEW IF NOT EXISTS mv_l3_to_l4_hourly_by_version TO l4_power_hourly_by_version AS
SELECT
    toStartOfHour(timestamp) AS ts_hour,
    device_id,
    version,
    sum(toDecimal64(power_usage_kWh + 5e-10, 9)) AS total_kWh,  -- rounds: toDecimal64 alone cuts off
    count() AS readings,
    max(power_usage_kWh + 0) AS max_kWh,  -- 0 of -0
    toStartOfHour(local_time) AS local_hour
FROM l3_power_by_version
GROUP BY device_id, ts_hour, local_hour, version;

-- The newest version answers almost every reading. Its start and its number are one value (see 090).
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_l2_to_l3_by_version TO l3_power_by_version AS
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
    timestamp + if(toUInt32(timestamp) < clock.2, clock.1, clock.3) AS local_time
FROM l2_power_cleaned;

-- LZ4 after DoubleDelta and Delta packs as well as ZSTD, at a third of the time. New parts are written with it.
ALTER TABLE l1_power_raw
    MODIFY COLUMN timestamp CODEC(DoubleDelta, LZ4),
    MODIFY COLUMN device_id CODEC(Delta, LZ4),
    MODIFY COLUMN ingested_at CODEC(DoubleDelta, LZ4);

ALTER TABLE l2_power_cleaned
    MODIFY COLUMN timestamp CODEC(DoubleDelta, LZ4),
    MODIFY COLUMN device_id CODEC(Delta, LZ4),
    MODIFY COLUMN ingested_at CODEC(DoubleDelta, LZ4);

ALTER TABLE power_quarantine
    MODIFY COLUMN timestamp CODEC(DoubleDelta, LZ4),
    MODIFY COLUMN device_id CODEC(Delta, LZ4),
    MODIFY COLUMN ingested_at CODEC(DoubleDelta, LZ4);

-- What operators have added to the old tables, and the new ones lack. (Dependencies are views that an insert starts.)
SELECT throwIf(count() > 0, 'Tables that this version replaces have columns, views or rules of your own. Run `iot-platform migrate`: it lists them and says what to do.')
FROM
(
    WITH
        ['l3_power_joined', 'l4_power_agg_hourly_store', 'l4_power_agg_hourly', 'l4_power_by_building_type_hourly', 'l4_power_by_device_daily'] AS old_names,
        ['l3_power_by_version', 'l4_power_hourly_by_version', 'l4_power_hourly_by_version', 'l4_power_hourly_by_type', 'l4_power_daily_by_version'] AS new_names
    SELECT 'column' AS kind, concat(table, '.', name) AS object, transform(table, old_names, new_names, '') AS replacement
    FROM system.columns
    WHERE database = currentDatabase() AND has(old_names, table)
        AND name NOT IN ('timestamp', 'ts_hour', 'device_id', 'customer_id', 'building_type', 'latitude', 'longitude',
                         'has_metadata', 'ingested_at', 'time_zone', 'local_time', 'local_hour', 'power_usage_kWh',
                         'total_kWh', 'avg_kWh', 'max_kWh', 'readings')
        AND (replacement, name) NOT IN (SELECT table, name FROM system.columns WHERE database = currentDatabase())
    UNION ALL
    SELECT 'materialized view', concat(dependency.1, '.', dependency.2, ' from ', name), transform(name, old_names, new_names, '')
    FROM system.tables
    ARRAY JOIN arrayZip(dependencies_database, dependencies_table) AS dependency
    WHERE database = currentDatabase() AND has(old_names, name)
        AND dependency NOT IN
        (
            SELECT database, name FROM system.tables
            WHERE (database = currentDatabase()
                   AND name IN ('mv_l3_to_l4_hourly', 'mv_l3_to_l4_by_building_type', 'mv_l3_to_l4_by_device'))
                OR match(create_table_query, '^CREATE MATERIALIZED VIEW \\S+ REFRESH ')
        )
    UNION ALL
    SELECT rule.1, name, transform(name, old_names, new_names, '') AS replacement
    FROM system.tables
    ARRAY JOIN [('projection', ' PROJECTION '), ('constraint', ' CONSTRAINT '), ('TTL', ' TTL ')] AS rule
    WHERE database = currentDatabase() AND has(old_names, name) AND engine LIKE '%MergeTree'
        AND position(create_table_query, rule.2) > 0
        AND (replacement, rule.1) NOT IN
        (
            SELECT name, rule.1 FROM system.tables
            ARRAY JOIN [('projection', ' PROJECTION '), ('constraint', ' CONSTRAINT '), ('TTL', ' TTL ')] AS rule
            WHERE database = currentDatabase() AND position(create_table_query, rule.2) > 0
        )
    UNION ALL
    SELECT 'use of device_current or device_history', name, 'device_version_attributes'
    FROM system.tables
    WHERE database = currentDatabase() AND match(create_table_query, '\\b(device_current|device_history|device_past_versions)\\b')
        AND name NOT IN ('device_current', 'device_history', 'device_past_versions', 'mv_l2_to_l3')
);

-- Days that are not filled. A fill names the table in its proofs, so it has to be done again if that is made again.
SELECT throwIf(count() > 0, 'L3 and L4 are tables of an older version of the platform. Run `iot-platform migrate`: it fills new tables beside them, while readings arrive and the older version goes on; `iot-platform migrate --plan` shows how long it takes and how much disk it needs.')
FROM
(
    SELECT partition_id, sum(rows) AS readings
    FROM system.parts
    WHERE database = currentDatabase() AND table = 'l3_power_joined' AND active AND rows > 0
        AND partition_id NOT IN
        (
            SELECT proofs.partition_id
            FROM
            (
                SELECT layer, partition_id, max(proved_at) AS at
                FROM partition_proofs
                WHERE is_equal AND run_id IN
                (
                    SELECT concat('filling ', toString(uuid)) FROM system.tables
                    WHERE database = currentDatabase() AND name = 'l3_power_by_version'
                )
                GROUP BY layer, partition_id
            ) AS proofs
            LEFT JOIN
            (
                SELECT partition_id, max(requested_at) AS at
                FROM proof_requests
                WHERE layer = 'l3_power_joined'
                GROUP BY partition_id
            ) AS changes ON changes.partition_id = proofs.partition_id
            WHERE proofs.at > changes.at
            GROUP BY proofs.partition_id
            HAVING uniqExact(proofs.layer) = 4
        )
    GROUP BY partition_id
    ORDER BY partition_id DESC
);

-- Readings that arrive before the metadata has numbers would be without metadata.
SELECT throwIf(count() > 0, 'The versions of the metadata have no numbers yet. Run `iot-platform migrate`: it gives them.')
FROM
(
    SELECT name FROM system.parts
    WHERE database = currentDatabase() AND table = 'device_metadata' AND active AND rows > 0
        AND (SELECT count() FROM system.parts
             WHERE database = currentDatabase() AND table = 'device_metadata_versions' AND active AND rows > 0) = 0
);
