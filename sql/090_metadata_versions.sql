-- recorded with the next file
-- Each version of a device's metadata has a number. L3 and L4 keep this number instead of the texts behind it.
--
-- A number is given once and never changes: what it means stays readable, also when the version is corrected later (then
-- the correction is a new number). The platform gives the numbers before it reloads the dictionaries
-- (iot_platform/layers/dictionaries.py). Nothing reads them before the next migration.

CREATE TABLE IF NOT EXISTS device_metadata_versions
(
    version       UInt32 COMMENT 'Number of the version, from 1 on; 0: no metadata',
    device_id     UInt32 COMMENT 'The meter',
    valid_from    DateTime('UTC') COMMENT 'Whole UTC hour from which this version holds; 1970-01-01: since ever',
    customer_id   String COMMENT 'Who pays for it',
    building_type LowCardinality(String) COMMENT 'Kind of building it measures',
    latitude      Float64 COMMENT 'Degrees north, WGS 84',
    longitude     Float64 COMMENT 'Degrees east, WGS 84',
    time_zone     LowCardinality(String) COMMENT 'IANA zone of the site; empty: not known',
    is_removed    UInt8 COMMENT '1: from valid_from on the device has no metadata',
    recorded_at   DateTime64(6, 'UTC') COMMENT 'When the platform learned of this version',
    numbered_at   DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When it got its number'
)
ENGINE = MergeTree
ORDER BY version
COMMENT 'All versions of device metadata with their numbers, also those that were corrected since';

-- Marts are grouped by numbers, which is faster than by text.
CREATE TABLE IF NOT EXISTS metadata_names
(
    kind Enum8('time_zone' = 1, 'building_type' = 2),
    id   UInt32 COMMENT 'From 1 on; 0: the zone UTC, the building type unknown',
    name String
)
ENGINE = MergeTree
ORDER BY (kind, id)
COMMENT 'Numbers of time zones and building types';

-- A removed device keeps its version, but gives nothing away from then on. A zone that this ClickHouse does not know
-- counts as UTC.
CREATE VIEW IF NOT EXISTS device_version_values AS
SELECT
    versions.version AS version,
    versions.device_id AS device_id,
    versions.valid_from AS valid_from,
    if(versions.is_removed, '', versions.customer_id) AS customer_id,
    if(versions.is_removed, 'unknown', toString(versions.building_type)) AS building_type,
    if(versions.is_removed, NULL, versions.latitude) AS latitude,
    if(versions.is_removed, NULL, versions.longitude) AS longitude,
    NOT versions.is_removed AS has_metadata,
    if(versions.is_removed OR zones.id = 0, 'UTC', zones.name) AS time_zone,
    if(versions.is_removed, 0, zones.id) AS zone_id,
    if(versions.is_removed, 0, types.id) AS type_id
FROM device_metadata_versions AS versions
LEFT JOIN
(
    SELECT id, name FROM metadata_names
    WHERE kind = 'time_zone' AND name IN (SELECT time_zone FROM system.time_zones)
) AS zones ON zones.name = toString(versions.time_zone)
LEFT JOIN
(
    SELECT id, name FROM metadata_names WHERE kind = 'building_type'
) AS types ON types.name = toString(versions.building_type)
COMMENT 'Every numbered version as the join sees it';

CREATE VIEW IF NOT EXISTS device_valid_versions AS
SELECT device_id, valid_from, max(version) AS version
FROM device_metadata_versions
WHERE (device_id, valid_from) IN (SELECT device_id, valid_from FROM device_metadata)
GROUP BY device_id, valid_from
COMMENT 'The versions that are valid, without those that were corrected or deleted';

-- The start and the number in one value: it is looked up for each reading.
CREATE VIEW IF NOT EXISTS device_newest_versions AS
SELECT device_id, max(toUInt64(toUInt32(valid_from)) * 4294967296 + version) AS start_and_version
FROM device_valid_versions
GROUP BY device_id
COMMENT 'The newest version of each device';

CREATE VIEW IF NOT EXISTS device_newest_versions_of_small_ids AS
SELECT device_id, start_and_version FROM device_newest_versions WHERE device_id < 16777216
COMMENT 'The newest version of each device with a number below 2^24';

CREATE VIEW IF NOT EXISTS device_newest_versions_of_large_ids AS
SELECT device_id, start_and_version FROM device_newest_versions WHERE device_id >= 16777216
COMMENT 'The newest version of each other device';

CREATE VIEW IF NOT EXISTS device_version_periods AS
SELECT device_id, valid_from, CAST(NULL, 'Nullable(DateTime(\'UTC\'))') AS valid_to, version
FROM device_valid_versions
WHERE device_id IN
(
    SELECT device_id FROM device_valid_versions GROUP BY device_id HAVING max(valid_from) > toDateTime(0, 'UTC')
)
COMMENT 'All valid versions of the devices whose newest version is not valid since ever';

-- The clock of each zone by time: its offset in each slot of 2^20 s (12 days) from 2000 on, found in the zone data of
-- this ClickHouse. Where the offset changes within the slot, a binary search finds when.
CREATE VIEW IF NOT EXISTS time_zone_offset_values AS
WITH
    (slots.number * 1048576) AS starts_at,
    (slots.number * 1048576 + 1048575) AS ends_at
SELECT
    toUInt64(zones.id) * 4096 + slots.number AS slot,
    dateDiff('second', toDateTime(starts_at, 'UTC'),
             toDateTime(toString(toDateTime(starts_at, 'UTC'), zones.name), 'UTC')) AS offset_s,
    dateDiff('second', toDateTime(ends_at, 'UTC'),
             toDateTime(toString(toDateTime(ends_at, 'UTC'), zones.name), 'UTC')) AS offset_after_s,
    if(offset_s = offset_after_s, 4294967295, arrayFold(
        (bounds, step) -> if(
            dateDiff('second', toDateTime(intDiv(bounds.1 + bounds.2, 2), 'UTC'),
                     toDateTime(toString(toDateTime(intDiv(bounds.1 + bounds.2, 2), 'UTC'), zones.name), 'UTC')) = offset_s,
            (intDiv(bounds.1 + bounds.2, 2), bounds.2),
            (bounds.1, intDiv(bounds.1 + bounds.2, 2))),
        range(20), (toUInt64(starts_at), toUInt64(ends_at))).2) AS changes_at
FROM
(
    SELECT id, name FROM metadata_names
    WHERE kind = 'time_zone' AND name IN (SELECT time_zone FROM system.time_zones)
    UNION ALL
    SELECT toUInt32(0), 'UTC'
) AS zones
CROSS JOIN
(
    SELECT number FROM numbers(902, 3194)
) AS slots
COMMENT 'Offsets of the zones in use from UTC';

CREATE VIEW IF NOT EXISTS building_type_names AS
SELECT id, name FROM metadata_names WHERE kind = 'building_type'
COMMENT 'Names of building types by number';

CREATE VIEW IF NOT EXISTS time_zone_names AS
SELECT id, name FROM metadata_names WHERE kind = 'time_zone'
COMMENT 'Names of time zones by number';

CREATE DICTIONARY IF NOT EXISTS device_version_attributes
(
    version       UInt64,
    customer_id   String,
    building_type String DEFAULT 'unknown',
    latitude      Nullable(Float64),
    longitude     Nullable(Float64),
    has_metadata  UInt8,
    time_zone     String DEFAULT 'UTC',
    zone_id       UInt32,
    type_id       UInt32
)
PRIMARY KEY version
SOURCE(CLICKHOUSE(TABLE 'device_version_values'))
LAYOUT(FLAT(INITIAL_ARRAY_SIZE 1024 MAX_ARRAY_SIZE 200000000))
LIFETIME(0)
COMMENT 'What the number of a version stands for';

-- An array answers ten times as fast as a hash table, and needs memory up to the largest number.
CREATE DICTIONARY IF NOT EXISTS device_newest_version_of_small_ids
(
    device_id         UInt64,
    start_and_version UInt64
)
PRIMARY KEY device_id
SOURCE(CLICKHOUSE(TABLE 'device_newest_versions_of_small_ids'))
LAYOUT(FLAT(INITIAL_ARRAY_SIZE 1024 MAX_ARRAY_SIZE 16777216))
LIFETIME(0)
COMMENT 'Newest version of each device with a number below 2^24';

CREATE DICTIONARY IF NOT EXISTS device_newest_version_of_large_ids
(
    device_id         UInt64,
    start_and_version UInt64
)
PRIMARY KEY device_id
SOURCE(CLICKHOUSE(TABLE 'device_newest_versions_of_large_ids'))
LAYOUT(HASHED_ARRAY())
LIFETIME(0)
COMMENT 'Newest version of each other device';

-- Asked only for readings older than the newest version of their device.
CREATE DICTIONARY IF NOT EXISTS device_past_version
(
    device_id  UInt64,
    valid_from DateTime('UTC'),
    valid_to   Nullable(DateTime('UTC')),
    version    UInt32
)
PRIMARY KEY device_id
SOURCE(CLICKHOUSE(TABLE 'device_version_periods'))
LAYOUT(RANGE_HASHED(RANGE_LOOKUP_STRATEGY 'max'))
RANGE(MIN valid_from MAX valid_to)
LIFETIME(0)
COMMENT 'Every version of the devices with a history';

CREATE DICTIONARY IF NOT EXISTS time_zone_offsets
(
    slot           UInt64,
    offset_s       Int32,
    changes_at     UInt32 DEFAULT 4294967295,
    offset_after_s Int32
)
PRIMARY KEY slot
SOURCE(CLICKHOUSE(TABLE 'time_zone_offset_values'))
LAYOUT(FLAT(INITIAL_ARRAY_SIZE 4096 MAX_ARRAY_SIZE 8192000))
LIFETIME(0)
COMMENT 'Offset of a zone from UTC: key zone_id * 4096 + Unix time / 2^20';

CREATE DICTIONARY IF NOT EXISTS building_type_name
(
    id   UInt64,
    name String DEFAULT 'unknown'
)
PRIMARY KEY id
SOURCE(CLICKHOUSE(TABLE 'building_type_names'))
LAYOUT(FLAT(INITIAL_ARRAY_SIZE 1024 MAX_ARRAY_SIZE 10000000))
LIFETIME(0)
COMMENT 'Name of a building type';

CREATE DICTIONARY IF NOT EXISTS time_zone_name
(
    id   UInt64,
    name String DEFAULT 'UTC'
)
PRIMARY KEY id
SOURCE(CLICKHOUSE(TABLE 'time_zone_names'))
LAYOUT(FLAT(INITIAL_ARRAY_SIZE 1024 MAX_ARRAY_SIZE 10000000))
LIFETIME(0)
COMMENT 'Name of a time zone';
