-- Queries that people wrote for the tables of the version before: the tiles of its dashboard, and those of analysts.

SELECT toFloat64((sum(`power_usage`.total_kWh))) AS `power_usage.total_kwh`
FROM `l4_power_by_building_type_hourly` AS `power_usage`
WHERE (`power_usage`.ts_hour >= toDateTime('2026-03-26 00:00:00', 'UTC') AND `power_usage`.ts_hour < toDateTime('2026-04-05 00:00:00', 'UTC'));

SELECT count(DISTINCT `power_usage`.device_id) AS `power_usage.devices`
FROM `l4_power_by_device_daily` AS `power_usage`
WHERE (`power_usage`.ts_hour >= toDateTime('2026-03-26 00:00:00', 'UTC') AND `power_usage`.ts_hour < toDateTime('2026-04-05 00:00:00', 'UTC'));

SELECT
    max(`power_usage`.max_kWh) AS `power_usage.peak_kwh`,
    (sum(`power_usage`.readings * `power_usage`.has_metadata)) / nullIf((sum(`power_usage`.readings)), 0) AS `power_usage.share_with_metadata`
FROM `l4_power_by_building_type_hourly` AS `power_usage`;

SELECT
    toStartOfHour(`power_usage`.ts_hour) AS `power_usage.time_hour`,
    `power_usage`.building_type AS `power_usage.building_type`,
    toFloat64((sum(`power_usage`.total_kWh))) AS `power_usage.total_kwh`
FROM `l4_power_by_building_type_hourly` AS `power_usage`
GROUP BY `power_usage.time_hour`, `power_usage.building_type`
QUALIFY dense_rank() OVER (ORDER BY `power_usage.time_hour` DESC) <= 50
ORDER BY `power_usage.time_hour` DESC, `power_usage.building_type`;

-- The measure that was wrong for sites in several zones is wrong in the same way.
SELECT
    toHour(`power_usage`.local_hour) AS `power_usage.local_time_hour_of_day`,
    (toFloat64((sum(`power_usage`.total_kWh)))) / nullIf((count(DISTINCT `power_usage`.local_hour)), 0) AS `power_usage.average_kwh_per_local_hour`
FROM `l4_power_by_building_type_hourly` AS `power_usage`
GROUP BY `power_usage.local_time_hour_of_day`
ORDER BY `power_usage.local_time_hour_of_day`;

SELECT
    `power_usage`.building_type AS `power_usage.building_type`,
    (toFloat64((sum(`power_usage`.total_kWh)))) / nullIf((sum(`power_usage`.readings)), 0) AS `power_usage.average_kwh_per_reading`
FROM `l4_power_by_building_type_hourly` AS `power_usage`
GROUP BY `power_usage.building_type`
ORDER BY `power_usage.average_kwh_per_reading` DESC, `power_usage.building_type`;

SELECT
    `power_usage`.device_id AS `power_usage.device_id`,
    toFloat64((sum(`power_usage`.total_kWh))) AS `power_usage.total_kwh`
FROM `l4_power_agg_hourly_store` AS `power_usage`
WHERE (`power_usage`.ts_hour >= toDateTime('2026-03-28 13:00:00', 'UTC') AND `power_usage`.ts_hour < toDateTime('2026-03-29 13:00:00', 'UTC'))
GROUP BY `power_usage.device_id`
ORDER BY `power_usage.total_kwh` DESC, `power_usage.device_id`
LIMIT 10;

SELECT
    round(`power_usage`.latitude, 3) AS `power_usage.place_latitude`,
    round(`power_usage`.longitude, 3) AS `power_usage.place_longitude`,
    `power_usage`.building_type AS `power_usage.building_type`,
    toFloat64((sum(`power_usage`.total_kWh))) AS `power_usage.total_kwh`,
    count(DISTINCT `power_usage`.device_id) AS `power_usage.devices`
FROM `l4_power_by_device_daily` AS `power_usage`
WHERE (`power_usage`.has_metadata = 1)
GROUP BY `power_usage.place_latitude`, `power_usage.place_longitude`, `power_usage.building_type`
QUALIFY dense_rank() OVER (ORDER BY `power_usage.place_latitude`, `power_usage.place_longitude`) <= 500
ORDER BY `power_usage.place_latitude`, `power_usage.place_longitude`, `power_usage.building_type`;

SELECT timestamp, device_id, power_usage_kWh, customer_id, building_type, latitude, longitude
FROM l3_power_joined
WHERE device_id = 17 AND timestamp >= '2026-03-27 00:00:00'
ORDER BY timestamp;

SELECT customer_id, sum(total_kWh) AS kWh, sum(total_kWh) / sum(readings) AS average
FROM l4_power_agg_hourly
WHERE ts_hour >= '2026-03-27' AND ts_hour < '2026-04-02' AND building_type IN ('office', 'school')
GROUP BY customer_id
HAVING kWh > 1
ORDER BY customer_id;

SELECT h.building_type, uniqExact(h.device_id) AS devices, round(max(h.avg_kWh), 6) AS most
FROM l4_power_agg_hourly AS h
INNER JOIN (SELECT DISTINCT device_id FROM l3_power_joined WHERE NOT has_metadata) AS unknown USING (device_id)
GROUP BY h.building_type
ORDER BY h.building_type;

SELECT customer_id, toDate(ts_hour) AS day, sum(total_kWh), max(max_kWh)
FROM l4_power_agg_hourly
WHERE customer_id = 'C17'
GROUP BY ALL
ORDER BY ALL;

SELECT time_zone, toStartOfMonth(local_time) AS month, count(), round(sum(power_usage_kWh), 6)
FROM l3_power_joined
GROUP BY ALL
ORDER BY ALL;

SELECT device_id, valid_from, customer_id, building_type, latitude, longitude, has_metadata, time_zone
FROM device_current_versions ORDER BY device_id;
