-- Devices that are silent at the end of the last day (today: now). A device is silent if it has sent nothing for at
-- least `silent_hours`, and for at least three times its usual pause. The usual pause is the mean time between its hours
-- with readings in L4, in the two weeks before. Not checked are devices that are closed in the metadata, and new devices,
-- which have readings in a single hour only.
WITH
    -- The last value of Date is 2149-06-06; the day after it would be 1970-01-01.
    least(toDateTime(least({last_day:Date}, toDate(now('UTC'))) + 1, 'UTC'), now('UTC')) AS until,
    recent AS
    (
        SELECT
            device_id,
            max(ts_hour) + INTERVAL 1 HOUR AS last_heard,
            dateDiff('hour', min(ts_hour), max(ts_hour)) / (uniqExact(ts_hour) - 1) AS usual_hours
        FROM l4_power_agg_hourly_store
        WHERE ts_hour >= until - INTERVAL 14 DAY AND ts_hour < until
        GROUP BY device_id
        HAVING uniqExact(ts_hour) > 1
    ),
    closed AS
    (
        SELECT device_id FROM device_metadata FINAL
        WHERE valid_from <= until
        GROUP BY device_id
        HAVING argMax(is_removed, valid_from)
    )
SELECT
    dictGetOrDefault('device_meter_ids', 'meter_id', device_id, toString(device_id)) AS meter_id,
    device_id,
    map(toDate(until - 1), toFloat64(1)) AS by_day,
    last_heard,
    dateDiff('hour', last_heard, until) AS hours_silent,
    round(usual_hours, 1) AS usual_hours_between
FROM recent
WHERE hours_silent >= greatest({silent_hours:Float64}, 3 * usual_hours)
    AND device_id NOT IN (SELECT device_id FROM closed)
    -- L1 also holds refused readings, and those that have not reached L4 yet.
    AND device_id NOT IN
    (
        SELECT device_id FROM l1_power_raw
        WHERE timestamp >= until - toIntervalSecond({silent_hours:Float64} * 3600) AND timestamp < until
    )
ORDER BY last_heard, device_id
