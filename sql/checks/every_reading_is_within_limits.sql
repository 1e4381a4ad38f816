-- Readings in L2 outside 0 <= x < limit, per device. The view refuses them, so each one came by another route, or the
-- limit was lowered after it had been accepted.
SELECT
    dictGetOrDefault('device_meter_ids', 'meter_id', device_id, toString(device_id)) AS meter_id,
    device_id,
    count() AS readings,
    sumMap(map(toDate(timestamp), toFloat64(1))) AS by_day,
    min(power_usage_kWh) AS lowest_kWh,
    max(power_usage_kWh) AS highest_kWh,
    dictGetOrDefault('device_limits', 'max_kWh', device_id, dictGet('device_limits', 'max_kWh', toUInt64(0))) AS limit_kWh,
    min(timestamp) AS first_reading,
    max(timestamp) AS last_reading
FROM l2_power_cleaned
WHERE toDate(timestamp) BETWEEN {first_day:Date} AND {last_day:Date}
    AND (power_usage_kWh < 0 OR power_usage_kWh >= limit_kWh)
GROUP BY device_id
ORDER BY readings DESC, device_id
