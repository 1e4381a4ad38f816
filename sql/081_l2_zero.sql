-- 0 and -0 are equal, so of both at one key and arrival whichever came first was kept, and a checksum of the day would not
-- settle. The cleaned layer knows one zero. Days that hold a -0 differ until they are proved; L1 keeps what was sent.
ALTER TABLE mv_l1_to_l2 MODIFY QUERY
SELECT timestamp, device_id, power_usage_kWh + 0 AS power_usage_kWh, ingested_at
FROM l1_power_raw
WHERE reject_reason = ''
ORDER BY device_id, timestamp, ingested_at DESC, power_usage_kWh DESC
LIMIT 1 BY device_id, timestamp;
