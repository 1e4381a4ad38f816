-- 0 and -0 are equal, so the largest of both is whichever comes first, and a checksum of the day would not settle.
-- Adding 0 makes 0 of -0. Days that hold a -0 differ until they are proved.
ALTER TABLE mv_l3_to_l4_hourly MODIFY QUERY
SELECT
    toStartOfHour(timestamp) AS ts_hour,
    device_id,
    customer_id,
    building_type,
    anyLast(latitude) AS latitude,
    anyLast(longitude) AS longitude,
    max(has_metadata) AS has_metadata,
    sum(toDecimal64(power_usage_kWh + 5e-10, 9)) AS total_kWh,  -- rounds: toDecimal64 alone cuts off
    count() AS readings,
    max(power_usage_kWh + 0) AS max_kWh
FROM l3_power_joined
GROUP BY ts_hour, device_id, customer_id, building_type;
