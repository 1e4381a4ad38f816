-- Readings that arrived more than once, as duplicates (the same value) or corrections (another one). L2 keeps the newest.
CREATE VIEW IF NOT EXISTS l1_power_revisions AS
SELECT
    timestamp,
    device_id,
    count() AS copies,
    uniqExact(power_usage_kWh) > 1 AS is_correction,
    arrayMap(reading -> reading.2, arrayReverseSort(groupArray((ingested_at, power_usage_kWh)))) AS values_kWh,
    arrayReverseSort(groupArray(ingested_at)) AS arrivals
FROM l1_power_raw
WHERE reject_reason = ''
GROUP BY device_id, timestamp
HAVING copies > 1
COMMENT 'Keys that L1 has several valid readings of, newest first; filter by timestamp or device_id';
