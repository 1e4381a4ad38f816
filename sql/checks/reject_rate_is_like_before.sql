-- Days whose share of refused readings is far above the median of the days before. Rows are counted in system.parts,
-- which reads no data.
WITH
    arrived AS
    (
        SELECT
            YYYYMMDDToDate(toUInt32(partition_id)) AS day,
            sumIf(rows, table = 'l1_power_raw') AS readings,
            sumIf(rows, table = 'power_quarantine') AS refused
        FROM system.parts
        WHERE active AND database = currentDatabase() AND table IN ('l1_power_raw', 'power_quarantine')
            AND partition_id != '0'
        GROUP BY day
        HAVING readings > 0
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
WHERE today.day BETWEEN {first_day:Date} AND {last_day:Date}
    AND before.day < today.day AND before.day >= today.day - toUInt16({history_days:Float64})
GROUP BY today.day
-- At least three days are needed for a history. Shares below half a percent are noise.
HAVING days_before >= 3 AND share > {times_median:Float64} * median_before + 0.005
ORDER BY day
