-- Readings in L2 without a value, device or time, per device. The columns are not nullable: an inserted NULL becomes 0,
-- and neither device 0 nor a reading at 1970-01-01 00:00:00 exists.
SELECT
    dictGetOrDefault('device_meter_ids', 'meter_id', device_id, toString(device_id)) AS meter_id,
    device_id,
    count() AS readings,
    sumMap(map(toDate(timestamp), toFloat64(1))) AS by_day,
    countIf(isNaN(power_usage_kWh)) AS not_a_number,
    countIf(isInfinite(power_usage_kWh)) AS infinite,
    countIf(device_id = 0) AS without_device,
    countIf(timestamp = toDateTime(0, 'UTC')) AS without_time,
    min(timestamp) AS first_reading,
    max(timestamp) AS last_reading
FROM l2_power_cleaned
WHERE toDate(timestamp) BETWEEN {first_day:Date} AND {last_day:Date}
    AND (NOT isFinite(power_usage_kWh) OR device_id = 0 OR timestamp = toDateTime(0, 'UTC'))
GROUP BY device_id
ORDER BY readings DESC, device_id
