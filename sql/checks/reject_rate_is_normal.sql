-- Readings that L2 refused, per reason.
SELECT
    reject_reason,
    count() AS readings,
    sumMap(map(toDate(timestamp), toFloat64(1))) AS by_day,
    uniqExact(device_id) AS devices,
    dictGetOrDefault('device_meter_ids', 'meter_id', any(device_id) AS device, toString(device)) AS a_meter,
    any(timestamp) AS a_time,
    any(power_usage_kWh) AS a_value_kWh,
    max(ingested_at) AS last_arrival
FROM power_quarantine
WHERE toDate(timestamp) BETWEEN {first_day:Date} AND {last_day:Date}
GROUP BY reject_reason
ORDER BY readings DESC, reject_reason
