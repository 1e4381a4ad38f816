-- Devices that sent in the week before the last day, are not closed in the metadata, and sent nothing on that day (of the
-- day that is still filling: nothing in the last six hours, once six hours of it are over).
WITH
    least(toDateTime({last_day:Date} + 1, 'UTC'), now('UTC')) AS until,
    greatest(toDateTime({last_day:Date}, 'UTC'), if(until = now('UTC'), until - INTERVAL 6 HOUR, toDateTime(0, 'UTC'))) AS since
SELECT
    device_id,
    map({last_day:Date}, toFloat64(1)) AS by_day,
    max(timestamp) AS last_reading,
    dateDiff('hour', last_reading, until) AS hours_silent
FROM l1_power_raw
WHERE timestamp >= toDateTime({last_day:Date} - 7, 'UTC') AND timestamp < until
    AND reject_reason = ''
    AND dateDiff('hour', toDateTime({last_day:Date}, 'UTC'), until) >= 6
    AND device_id NOT IN
    (
        SELECT device_id FROM device_metadata FINAL
        WHERE valid_from <= now('UTC')
        GROUP BY device_id
        HAVING argMax(is_removed, valid_from)
    )
GROUP BY device_id
HAVING last_reading < since
ORDER BY last_reading, device_id
