-- Every version of every device. A removal has the attributes of the version that it ends.
SELECT device_id, valid_from, customer_id, toString(building_type) AS building_type, latitude, longitude,
    toString(time_zone) AS time_zone, is_removed
FROM device_metadata FINAL
ORDER BY device_id, valid_from
