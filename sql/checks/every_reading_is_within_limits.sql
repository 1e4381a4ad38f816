-- Readings in L2 outside 0 <= x < limit of their time, per device and limit. The view refuses them, so each one came by
-- another route, or the limit was lowered after it had been accepted.
WITH
    dictGet('device_limits', 'max_kWh', toUInt64(4294967297)) AS lowest_kWh_of_all,
    dictGetOrDefault('device_limits', ('max_kWh', 'valid_from', 'starts', 'limits'), device_id,
                     dictGet('device_limits', ('max_kWh', 'valid_from', 'starts', 'limits'), toUInt64(0))) AS found
SELECT
    dictGetOrDefault('device_meter_ids', 'meter_id', device_id, toString(device_id)) AS meter_id,
    device_id,
    count() AS readings,
    sumMap(map(toDate(timestamp), toFloat64(1))) AS by_day,
    min(power_usage_kWh) AS lowest_kWh,
    max(power_usage_kWh) AS highest_kWh,
    if(toUInt32(timestamp) >= found.2, found.1, arrayLast((limit, start) -> start <= toUInt32(timestamp), found.4, found.3)) AS limit_kWh,
    min(timestamp) AS first_reading,
    max(timestamp) AS last_reading
FROM l2_power_cleaned
WHERE toDate(timestamp) BETWEEN {first_day:Date} AND {last_day:Date}
    AND (power_usage_kWh < 0 OR (power_usage_kWh >= lowest_kWh_of_all AND power_usage_kWh >= limit_kWh))
GROUP BY device_id, limit_kWh
ORDER BY readings DESC, device_id, limit_kWh
