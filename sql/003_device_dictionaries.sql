-- What the materialized views look up. The dictionaries read the views below; the platform reloads them after each
-- change of metadata or limits (LIFETIME(0): nothing changes under a running proof).

-- A removed device keeps its row, but gives nothing away from then on.
CREATE VIEW IF NOT EXISTS device_versions AS
SELECT
    device_id,
    valid_from,
    CAST(NULL, 'Nullable(DateTime(\'UTC\'))') AS valid_to,
    if(is_removed, '', customer_id) AS customer_id,
    if(is_removed, 'unknown', toString(building_type)) AS building_type,
    if(is_removed, NULL, latitude) AS latitude,
    if(is_removed, NULL, longitude) AS longitude,
    NOT is_removed AS has_metadata
FROM device_metadata FINAL
COMMENT 'Every version of every device as the join sees it';

CREATE VIEW IF NOT EXISTS device_current_versions AS
SELECT device_id, valid_from, customer_id, building_type, latitude, longitude, has_metadata
FROM device_versions
ORDER BY valid_from DESC
LIMIT 1 BY device_id
COMMENT 'The newest version of each device';

CREATE VIEW IF NOT EXISTS device_past_versions AS
SELECT device_id, valid_from, valid_to, customer_id, building_type, latitude, longitude, has_metadata
FROM device_versions
WHERE device_id IN
(
    SELECT device_id FROM device_metadata GROUP BY device_id HAVING max(valid_from) > toDateTime(0, 'UTC')
)
COMMENT 'All versions of the devices whose newest version is not valid since ever';

CREATE VIEW IF NOT EXISTS device_limit_values AS
SELECT device_id, argMax(max_kWh, specificity) AS max_kWh
FROM
(
    SELECT toUInt32(0) AS device_id, max_kWh, 0 AS specificity
    FROM power_limits FINAL
    WHERE scope = 'default' AND NOT is_removed
    UNION ALL
    SELECT device_id, limits.max_kWh, 1
    FROM device_current_versions AS devices
    INNER JOIN
    (
        SELECT key AS building_type, max_kWh FROM power_limits FINAL WHERE scope = 'building_type' AND NOT is_removed
    ) AS limits USING (building_type)
    UNION ALL
    SELECT toUInt32(key), max_kWh, 2
    FROM power_limits FINAL
    WHERE scope = 'device' AND NOT is_removed
)
GROUP BY device_id
COMMENT 'The limit of each device that does not have the built-in default; device 0 is the default itself';

-- Answers almost every lookup.
CREATE DICTIONARY IF NOT EXISTS device_current
(
    device_id     UInt64,
    valid_from    DateTime('UTC'),
    customer_id   String,
    building_type String DEFAULT 'unknown',
    latitude      Nullable(Float64),
    longitude     Nullable(Float64),
    has_metadata  UInt8
)
PRIMARY KEY device_id
SOURCE(CLICKHOUSE(TABLE 'device_current_versions'))
LAYOUT(HASHED_ARRAY())
LIFETIME(0)
COMMENT 'Newest metadata of each device';

-- Asked only for readings older than the newest version of their device.
CREATE DICTIONARY IF NOT EXISTS device_history
(
    device_id     UInt64,
    valid_from    DateTime('UTC'),
    valid_to      Nullable(DateTime('UTC')),
    customer_id   String,
    building_type String DEFAULT 'unknown',
    latitude      Nullable(Float64),
    longitude     Nullable(Float64),
    has_metadata  UInt8
)
PRIMARY KEY device_id
SOURCE(CLICKHOUSE(TABLE 'device_past_versions'))
LAYOUT(RANGE_HASHED(RANGE_LOOKUP_STRATEGY 'max'))
RANGE(MIN valid_from MAX valid_to)
LIFETIME(0)
COMMENT 'Every version of the devices with a history';

CREATE DICTIONARY IF NOT EXISTS device_limits
(
    device_id UInt64,
    max_kWh   Float64 DEFAULT 100
)
PRIMARY KEY device_id
SOURCE(CLICKHOUSE(TABLE 'device_limit_values'))
LAYOUT(HASHED_ARRAY())
LIFETIME(0)
COMMENT 'Upper limit of one reading per device';
