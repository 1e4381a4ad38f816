-- Valid readings of L1 beyond one per device and timestamp, per device.
SELECT
    device_id,
    sum(more) AS readings,
    sumMap(map(day, toFloat64(more))) AS by_day,
    sum(corrections) AS with_another_value,
    max(last) AS last_arrival
FROM
(
    SELECT
        device_id,
        toDate(timestamp) AS day,
        count() - uniqExact(timestamp) AS more,
        toInt64(uniqExact(timestamp, power_usage_kWh)) - toInt64(uniqExact(timestamp)) AS corrections,
        max(ingested_at) AS last
    FROM l1_power_raw
    WHERE toDate(timestamp) BETWEEN {first_day:Date} AND {last_day:Date}
        AND reject_reason = ''
    GROUP BY device_id, day
    HAVING more > 0
)
GROUP BY device_id
ORDER BY readings DESC, device_id
