-- Readings whose timestamp was in the future when they arrived, per device. `by_day` counts them by day of arrival.
SELECT
    dictGetOrDefault('device_meter_ids', 'meter_id', device_id, toString(device_id)) AS meter_id,
    device_id,
    count() AS readings,
    sumMap(map(toDate(ingested_at), toFloat64(1))) AS by_day,
    max(dateDiff('minute', ingested_at, timestamp)) AS most_minutes_ahead,
    min(ingested_at) AS first_arrival,
    max(ingested_at) AS last_arrival
FROM power_quarantine
-- Their timestamps are later than their arrival, so earlier partitions hold none of them.
WHERE toDate(timestamp) >= {first_day:Date}
    AND toDate(ingested_at) BETWEEN {first_day:Date} AND {last_day:Date}
    AND reject_reason = 'in_the_future'
GROUP BY device_id
ORDER BY readings DESC, device_id
