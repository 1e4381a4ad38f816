-- A proof speaks of two versions: that of the source's partition and that of the layer's. While both stand, nothing was
-- written to either; otherwise the day is open again. (l1_rows of older proofs is no longer looked at.)
ALTER TABLE partition_proofs
    ADD COLUMN IF NOT EXISTS source_version String COMMENT 'Version of the source partition that was compared' AFTER l1_rows,
    ADD COLUMN IF NOT EXISTS own_version String COMMENT 'Version of the layer partition after the proof' AFTER source_version,
    ADD COLUMN IF NOT EXISTS rows_expected UInt64 COMMENT 'Rows that the definition made of the source' AFTER total_kWh_found,
    ADD COLUMN IF NOT EXISTS total_kWh_expected Float64 COMMENT 'Energy that the definition made of the source' AFTER rows_expected,
    ADD COLUMN IF NOT EXISTS difference String COMMENT 'What was found to differ, in words; empty: nothing' AFTER total_kWh_expected,
    ADD COLUMN IF NOT EXISTS arrived_rows UInt64 COMMENT 'Rows that came into the source during a rebuild; the next proof speaks of them' AFTER difference,
    ADD COLUMN IF NOT EXISTS duplicates UInt64 COMMENT 'L2 only: valid readings of L1 beyond one per device and timestamp' AFTER arrived_rows;

-- L3 tells when each reading arrived, as L1 and L2 do: a rebuild of L4 needs it to tell the readings it has staged from
-- those that arrived meanwhile. Days from before this migration differ until they are proved.
ALTER TABLE l3_power_joined
    ADD COLUMN IF NOT EXISTS ingested_at DateTime64(6, 'UTC') COMMENT 'When the platform received it' CODEC(DoubleDelta, ZSTD(1));

ALTER TABLE mv_l2_to_l3 MODIFY QUERY
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
    version.5 AS has_metadata,
    ingested_at
FROM l2_power_cleaned;
