-- Devices that are not closed in the metadata and have sent nothing for `silent_hours`, and for three times their usual
-- pause, at the end of the last day (for today: up to now). The usual pause comes from the hours in L4 of the two weeks
-- before. A device with readings in a single hour is new and not checked.
WITH
    -- The last value of Date is 2149-06-06; the day after it would be 1970-01-01.
    least(toDateTime(least({last_day:Date}, toDate(now('UTC'))) + 1, 'UTC'), now('UTC')) AS until,
    heard AS
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
    device_id,
    map(toDate(until - 1), toFloat64(1)) AS by_day,
    last_heard,
    dateDiff('hour', last_heard, until) AS hours_silent,
    round(usual_hours, 1) AS usual_hours_between
FROM heard
WHERE hours_silent >= greatest({silent_hours:Float64}, 3 * usual_hours)
    AND device_id NOT IN (SELECT device_id FROM closed)
    -- Refused readings were sent, too, and L4 may lag behind by one view.
    AND device_id NOT IN
    (
        SELECT device_id FROM l1_power_raw
        WHERE timestamp >= until - toIntervalSecond({silent_hours:Float64} * 3600) AND timestamp < until
    )
ORDER BY last_heard, device_id
