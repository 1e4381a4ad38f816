-- The limit of a reading is the one of its time: that of its device, of the building type that the device had then, or the
-- default. Each row of power_limits holds from its valid_from on, until a later row of the same limit says otherwise.
-- Limits from before this migration hold always, as they did.

-- A new column may become a part of the key. Two rows of one limit replace each other only if they begin at the same time.
ALTER TABLE power_limits
    ADD COLUMN IF NOT EXISTS valid_from DateTime('UTC') COMMENT 'The limit holds for readings from this time on; 1970-01-01: always' AFTER key,
    MODIFY ORDER BY (scope, key, valid_from);

-- Every row ever written, also those that a merge has replaced since. The versions of device metadata are kept in
-- device_metadata_versions (090).
CREATE TABLE IF NOT EXISTS power_limit_log
(
    scope       Enum8('default' = 0, 'building_type' = 1, 'device' = 2) COMMENT 'What the limit applies to',
    key         String COMMENT 'Empty, a building_type, or a device_id in decimal digits',
    valid_from  DateTime('UTC') COMMENT 'The limit holds for readings from this time on; 1970-01-01: always',
    max_kWh     Float64 COMMENT 'Readings of this much or more are refused by L2',
    is_removed  UInt8 COMMENT '1: from valid_from on there is no such limit',
    recorded_at DateTime64(6, 'UTC') COMMENT 'When it was set'
)
ENGINE = MergeTree
ORDER BY recorded_at
COMMENT 'All rows that power_limits ever had';

CREATE TABLE IF NOT EXISTS time_limit_log
(
    name        Enum8('oldest_timestamp' = 1, 'max_future' = 2) COMMENT 'As in time_limits',
    value_s     UInt32 COMMENT 'oldest_timestamp: Unix time; max_future: seconds',
    is_removed  UInt8 COMMENT '1: the built-in value holds again',
    recorded_at DateTime64(6, 'UTC') COMMENT 'When it was set'
)
ENGINE = MergeTree
ORDER BY recorded_at
COMMENT 'All rows that time_limits ever had';

CREATE MATERIALIZED VIEW IF NOT EXISTS mv_power_limits_to_log TO power_limit_log AS
SELECT scope, key, valid_from, max_kWh, is_removed, recorded_at FROM power_limits;

CREATE MATERIALIZED VIEW IF NOT EXISTS mv_time_limits_to_log TO time_limit_log AS
SELECT name, value_s, is_removed, recorded_at FROM time_limits;

INSERT INTO power_limit_log (scope, key, valid_from, max_kWh, is_removed, recorded_at)
SELECT scope, key, valid_from, max_kWh, is_removed, recorded_at FROM power_limits
WHERE (scope, key, valid_from, recorded_at) NOT IN (SELECT scope, key, valid_from, recorded_at FROM power_limit_log);

INSERT INTO time_limit_log (name, value_s, is_removed, recorded_at)
SELECT name, value_s, is_removed, recorded_at FROM time_limits
WHERE (name, recorded_at) NOT IN (SELECT name, recorded_at FROM time_limit_log);

-- A row that was recorded later ends those of its limit that begin at its valid_from or later.
CREATE VIEW IF NOT EXISTS power_limit_periods AS
SELECT scope, key, valid_from, if(is_removed, 0, max_kWh) AS limit_kWh, recorded_at
FROM
(
    SELECT scope, key, valid_from, max_kWh, is_removed, recorded_at,
        min(toNullable(valid_from)) OVER (
            PARTITION BY scope, key ORDER BY recorded_at DESC, valid_from DESC
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS ended_at
    FROM power_limits FINAL
)
WHERE ended_at IS NULL OR valid_from < ended_at
COMMENT 'From when on which limit holds, until the next of the same scope and key; limit_kWh = 0: there is none';

-- The devices whose limit is not the default at all times, and as device 0 the default of all others.
CREATE VIEW IF NOT EXISTS device_limit_timelines AS
WITH
    (
        SELECT arraySort(groupArray((valid_from, limit_kWh))) FROM power_limit_periods WHERE scope = 'default'
    ) AS of_all,
    (
        SELECT mapFromArrays(groupArray(building_type), groupArray(of_type))
        FROM
        (
            SELECT key AS building_type, arraySort(groupArray((valid_from, limit_kWh))) AS of_type
            FROM power_limit_periods
            WHERE scope = 'building_type'
            GROUP BY key
        )
    ) AS of_types
SELECT
    device_id,
    arraySort(arrayDistinct(arrayConcat(
        [toDateTime(0, 'UTC')], tupleElement(of_device, 1), tupleElement(of_all, 1), tupleElement(types, 1),
        arrayFlatten(arrayMap(type -> tupleElement(of_types[type.2], 1), types))))) AS starts,
    arrayMap(start -> (
        arrayLast(limit -> limit.1 <= start, of_device).2,
        arrayLast(limit -> limit.1 <= start, of_types[arrayLast(type -> type.1 <= start, types).2]).2,
        arrayLast(limit -> limit.1 <= start, of_all).2), starts) AS candidates,
    arrayMap(found -> multiIf(found.1 > 0, found.1, found.2 > 0, found.2, found.3 > 0, found.3, 100), candidates) AS limits,
    arrayFilter((period, number) -> number = 1 OR limits[number] != limits[number - 1],
                arrayZip(starts, limits), arrayEnumerate(limits)) AS periods
FROM
(
    SELECT device_id, arraySort(groupArrayArray(of_device)) AS of_device, arraySort(groupArrayArray(types)) AS types
    FROM
    (
        SELECT
            device_id,
            CAST([], 'Array(Tuple(DateTime(\'UTC\'), Float64))') AS of_device,
            groupArray((valid_from, building_type)) AS types
        FROM device_versions
        WHERE device_id > 0
        GROUP BY device_id
        HAVING hasAny(groupArray(building_type), mapKeys(of_types))
        UNION ALL
        SELECT toUInt32(key), groupArray((valid_from, limit_kWh)), []
        FROM power_limit_periods
        WHERE scope = 'device'
        GROUP BY key
        UNION ALL
        SELECT toUInt32(0), [], []
    )
    GROUP BY device_id
)
COMMENT 'periods: from when on which limit (kWh) holds for a device';

-- Most readings are below every limit, and need no look at their device: number 4294967297 stands for the lowest limit of all.
CREATE OR REPLACE VIEW device_limit_values AS
SELECT
    toUInt64(device_id) AS device_id,
    periods[-1].2 AS max_kWh,
    toUInt32(periods[-1].1) AS valid_from,
    if(length(periods) > 1, arrayMap(period -> toUInt32(period.1), periods), []) AS starts,
    if(length(periods) > 1, tupleElement(periods, 2), []) AS limits
FROM device_limit_timelines
UNION ALL
SELECT 4294967297, arrayMin(arrayPushBack(groupArray(limit_kWh), 100)), 0, [], []
FROM power_limit_periods
WHERE limit_kWh > 0
COMMENT 'The limits of each device that does not have the default at all times; device 0 is the default itself';

-- One dictionary, so that a reading is judged by all limits from before a change, or by all from after it.
CREATE OR REPLACE DICTIONARY device_limits
(
    device_id  UInt64,
    max_kWh    Float64 DEFAULT 100,
    valid_from UInt32,
    starts     Array(UInt32),
    limits     Array(Float64)
)
PRIMARY KEY device_id
SOURCE(CLICKHOUSE(TABLE 'device_limit_values'))
LAYOUT(HASHED_ARRAY())
LIFETIME(0)
COMMENT 'Upper limit of one reading per device: the newest one and when it begins, and where there were several, all of them';

-- Until now the newest building type of a device decided, also about the past. The days with readings that its type of
-- their time judges otherwise have to be verified again: requested before the change and after it.
INSERT INTO proof_requests (layer, partition_id, changed_at, requested_at, reason)
SELECT arrayJoin(['l2_power_cleaned', 'power_quarantine']), partition, toDateTime64('2026-11-28 00:00:00', 6, 'UTC'), now64(6),
    'A limit per building type follows the type that the device had at the time of the reading'
FROM
(
    SELECT DISTINCT _partition_id AS partition
    FROM l1_power_raw
    INNER JOIN
    (
        SELECT toUInt32(device_id) AS device_id, valid_from AS newest_start, max_kWh AS newest_kWh, starts, limits
        FROM device_limit_values
        WHERE notEmpty(starts)
    ) AS several USING (device_id)
    WHERE toUInt32(timestamp) < newest_start
        AND (power_usage_kWh >= newest_kWh)
            != (power_usage_kWh >= arrayLast((limit, start) -> start <= toUInt32(timestamp), limits, starts))
        AND reject_reason IN ('', 'over_limit')
);

ALTER TABLE l1_power_raw MODIFY COLUMN reject_reason LowCardinality(String) ALIAS multiIf(
    device_id = 0, 'no_device',
    isNaN(power_usage_kWh), 'not_a_number',
    isInfinite(power_usage_kWh), 'infinite',
    power_usage_kWh < 0, 'negative',
    timestamp < toDateTime(dictGet('reading_time_limits', 'value_s', 'oldest_timestamp'), 'UTC'), 'too_old',
    timestamp > ingested_at + toIntervalSecond(dictGet('reading_time_limits', 'value_s', 'max_future')), 'in_the_future',
    power_usage_kWh >= dictGet('device_limits', 'max_kWh', toUInt64(4294967297)) AND power_usage_kWh >= if(
        toUInt32(timestamp) >= dictGetOrDefault('device_limits', ('valid_from', 'max_kWh'), device_id,
                                                dictGet('device_limits', ('valid_from', 'max_kWh'), toUInt64(0))).1,
        dictGetOrDefault('device_limits', ('valid_from', 'max_kWh'), device_id,
                         dictGet('device_limits', ('valid_from', 'max_kWh'), toUInt64(0))).2,
        if(empty(dictGetOrDefault('device_limits', ('max_kWh', 'starts', 'limits'), device_id,
                                  dictGet('device_limits', ('max_kWh', 'starts', 'limits'), toUInt64(0))).2),
           dictGetOrDefault('device_limits', ('max_kWh', 'starts', 'limits'), device_id,
                                  dictGet('device_limits', ('max_kWh', 'starts', 'limits'), toUInt64(0))).1,
           arrayLast((limit, start) -> start <= toUInt32(timestamp),
                     dictGetOrDefault('device_limits', ('max_kWh', 'starts', 'limits'), device_id,
                                  dictGet('device_limits', ('max_kWh', 'starts', 'limits'), toUInt64(0))).3,
                     dictGetOrDefault('device_limits', ('max_kWh', 'starts', 'limits'), device_id,
                                  dictGet('device_limits', ('max_kWh', 'starts', 'limits'), toUInt64(0))).2))),
    'over_limit',
    '') COMMENT 'Why L2 refuses the reading; empty: it is valid';

INSERT INTO proof_requests (layer, partition_id, changed_at, requested_at, reason)
SELECT arrayJoin(['l2_power_cleaned', 'power_quarantine']), partition, toDateTime64('2026-11-28 00:00:00', 6, 'UTC'), now64(6),
    'A limit per building type follows the type that the device had at the time of the reading'
FROM
(
    SELECT DISTINCT _partition_id AS partition
    FROM l1_power_raw
    INNER JOIN
    (
        SELECT toUInt32(device_id) AS device_id, valid_from AS newest_start, max_kWh AS newest_kWh, starts, limits
        FROM device_limit_values
        WHERE notEmpty(starts)
    ) AS several USING (device_id)
    WHERE toUInt32(timestamp) < newest_start
        AND (power_usage_kWh >= newest_kWh)
            != (power_usage_kWh >= arrayLast((limit, start) -> start <= toUInt32(timestamp), limits, starts))
        AND reject_reason IN ('', 'over_limit')
);
