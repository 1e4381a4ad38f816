-- Energy of readings in L3 without metadata, per building type. The type is that of the latest version of the device,
-- or `unknown` if the device has no version.
WITH
    devices AS
    (
        SELECT device_id, toDate(timestamp) AS day, has_metadata, toString(building_type) AS own_type,
            sumIf(power_usage_kWh, isFinite(power_usage_kWh)) AS kWh, count() AS readings
        FROM l3_power_joined
        WHERE toDate(timestamp) BETWEEN {first_day:Date} AND {last_day:Date}
        GROUP BY device_id, day, has_metadata, own_type
    ),
    known AS
    (
        SELECT device_id, argMax(toString(building_type), valid_from) AS other_type FROM device_metadata FINAL
        WHERE NOT is_removed
        GROUP BY device_id
    )
SELECT
    multiIf(has_metadata, own_type, other_type != '', other_type, 'unknown') AS building_type,
    round(sumIf(kWh, NOT has_metadata), 3) AS kWh_without,
    sumMapIf(map(day, kWh), NOT has_metadata) AS by_day,
    round(kWh_without / sum(kWh), 4) AS share_of_type,
    uniqExactIf(device_id, NOT has_metadata) AS devices,
    dictGetOrDefault('device_meter_ids', 'meter_id', argMaxIf(device_id, kWh, NOT has_metadata) AS largest,
                     toString(largest)) AS largest_meter,
    sumIf(readings, NOT has_metadata) AS readings_without
FROM devices
LEFT JOIN known USING (device_id)
GROUP BY building_type
HAVING devices > 0
ORDER BY kWh_without DESC, building_type
