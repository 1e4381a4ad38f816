-- Valid readings in L1 beyond one per device and timestamp, per device. A bitmap of the seconds needs the least memory.
SELECT
    device_id,
    sum(more) AS readings,
    sumMap(map(day, toFloat64(more))) AS by_day,
    max(last) AS last_arrival
FROM
(
    SELECT
        device_id,
        toDate(timestamp) AS day,
        count() - groupBitmap(toUnixTimestamp(timestamp)) AS more,
        max(ingested_at) AS last
    FROM l1_power_raw
    WHERE toDate(timestamp) BETWEEN {first_day:Date} AND {last_day:Date}
        AND reject_reason = ''
    GROUP BY device_id, day
    HAVING more > 0
)
GROUP BY device_id
ORDER BY readings DESC, device_id
