-- Valid readings in L1 beyond the first of each device and timestamp, per device. Distinct timestamps are counted
-- with a bitmap, which needs the least memory.
SELECT
    dictGetOrDefault('device_meter_ids', 'meter_id', device_id, toString(device_id)) AS meter_id,
    device_id,
    sum(extra) AS readings,
    sumMap(map(day, toFloat64(extra))) AS by_day,
    max(last) AS last_arrival
FROM
(
    SELECT
        device_id,
        toDate(timestamp) AS day,
        count() - groupBitmap(toUnixTimestamp(timestamp)) AS extra,
        max(ingested_at) AS last
    FROM l1_power_raw
    WHERE toDate(timestamp) BETWEEN {first_day:Date} AND {last_day:Date}
        AND reject_reason = ''
    GROUP BY device_id, day
    HAVING extra > 0
)
GROUP BY device_id
ORDER BY readings DESC, device_id
