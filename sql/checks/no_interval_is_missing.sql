-- Intervals that did not arrive between the first and the last reading of a day, per device. What a device's interval is
-- tells the median distance of its readings on that day.
SELECT
    device_id,
    sum(missing) AS intervals,
    sumMap(map(day, toFloat64(missing))) AS by_day,
    any(interval_s) AS interval_s,
    max(longest_s) AS longest_gap_s
FROM
(
    SELECT
        device_id,
        toDate(timestamp) AS day,
        arraySort(groupArray(toUnixTimestamp(timestamp))) AS seconds,
        arrayFilter(distance -> distance > 0, arrayDifference(seconds)) AS distances,
        arrayReduce('quantileExact(0.5)', distances) AS interval_s,
        arrayMax(distances) AS longest_s,
        arraySum(distance -> if(distance > 1.5 * interval_s, round(distance / interval_s) - 1, 0), distances) AS missing
    FROM l1_power_raw
    WHERE toDate(timestamp) BETWEEN {first_day:Date} AND {last_day:Date}
        AND reject_reason = ''
    GROUP BY device_id, day
    HAVING length(distances) >= 2
)
WHERE missing > 0
GROUP BY device_id
ORDER BY intervals DESC, device_id
