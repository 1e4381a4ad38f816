-- Energy of L3 whose device was not known at its time, per device.
SELECT
    device_id,
    round(sum(power_usage_kWh), 3) AS kWh,
    sumMap(map(toDate(timestamp), power_usage_kWh)) AS by_day,
    count() AS readings,
    min(timestamp) AS first_reading,
    max(timestamp) AS last_reading
FROM l3_power_joined
WHERE toDate(timestamp) BETWEEN {first_day:Date} AND {last_day:Date}
    AND NOT has_metadata
GROUP BY device_id
ORDER BY kWh DESC, device_id
