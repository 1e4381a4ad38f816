-- Readings in L3 whose device had no metadata at that time, per device.
SELECT
    dictGetOrDefault('device_meter_ids', 'meter_id', device_id, toString(device_id)) AS meter_id,
    device_id,
    count() AS readings,
    sumMap(map(toDate(timestamp), toFloat64(1))) AS by_day,
    round(sum(power_usage_kWh), 3) AS kWh,
    min(timestamp) AS first_reading,
    max(timestamp) AS last_reading,
    device_id IN (SELECT device_id FROM device_metadata) AS has_another_version
FROM l3_power_joined
WHERE toDate(timestamp) BETWEEN {first_day:Date} AND {last_day:Date}
    AND NOT has_metadata
GROUP BY device_id
ORDER BY readings DESC, device_id
