-- Days whose share of refused readings is far above the median of the two weeks before them.
WITH
    arrived AS
    (
        SELECT toDate(timestamp) AS day, count() AS readings, countIf(reject_reason != '') AS refused
        FROM l1_power_raw
        WHERE toDate(timestamp) BETWEEN {first_day:Date} - 14 AND {last_day:Date}
        GROUP BY day
    )
SELECT
    today.day AS day,
    any(today.refused) AS readings,
    map(today.day, toFloat64(readings)) AS by_day,
    any(today.refused / today.readings) AS share,
    quantileExact(0.5)(before.refused / before.readings) AS median_before,
    count() AS days_before
FROM arrived AS today
CROSS JOIN arrived AS before
WHERE today.day >= {first_day:Date} AND before.day < today.day AND before.day >= today.day - 14
GROUP BY today.day
-- Three days make a history; below half a percent everything is noise.
HAVING days_before >= 3 AND share > 3 * median_before + 0.005
ORDER BY day
