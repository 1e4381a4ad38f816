-- Every version of every device; what was removed keeps the attributes of what it ends.
SELECT device_id, valid_from, customer_id, toString(building_type) AS building_type, latitude, longitude, is_removed
FROM device_metadata FINAL
ORDER BY device_id, valid_from
