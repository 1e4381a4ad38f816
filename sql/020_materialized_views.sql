-- One text per step: it runs on each inserted block, and a rebuild runs the same text on a whole day.
-- They are created from the end of the chain to its start: no reading may enter a chain that is not whole.

CREATE MATERIALIZED VIEW IF NOT EXISTS mv_l3_to_l4_hourly TO l4_power_agg_hourly_store AS
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
    max(power_usage_kWh) AS max_kWh
FROM l3_power_joined
GROUP BY ts_hour, device_id, customer_id, building_type;

CREATE MATERIALIZED VIEW IF NOT EXISTS mv_l2_to_l3 TO l3_power_joined AS
WITH
    if(timestamp >= dictGet('device_current', 'valid_from', device_id),
       dictGet('device_current',
               ('customer_id', 'building_type', 'latitude', 'longitude', 'has_metadata'), device_id),
       dictGet('device_history',
               ('customer_id', 'building_type', 'latitude', 'longitude', 'has_metadata'), device_id, timestamp)
    ) AS version
SELECT
    timestamp,
    device_id,
    power_usage_kWh,
    version.1 AS customer_id,
    version.2 AS building_type,
    version.3 AS latitude,
    version.4 AS longitude,
    version.5 AS has_metadata
FROM l2_power_cleaned;

-- The same (device_id, timestamp) again: the newest arrival wins, of one arrival the larger value, so that the choice
-- is the same each time it is made. Sorted by the key first: that costs less than half, and the next steps get sorted rows.
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_l1_to_l2 TO l2_power_cleaned AS
SELECT timestamp, device_id, power_usage_kWh, ingested_at
FROM l1_power_raw
WHERE reject_reason = ''
ORDER BY device_id, timestamp, ingested_at DESC, power_usage_kWh DESC
LIMIT 1 BY device_id, timestamp;

CREATE MATERIALIZED VIEW IF NOT EXISTS mv_l1_to_quarantine TO power_quarantine AS
SELECT timestamp, device_id, power_usage_kWh, ingested_at, reject_reason
FROM l1_power_raw
WHERE reject_reason != '';
