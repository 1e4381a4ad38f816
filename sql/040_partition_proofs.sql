-- What was compared, when, and what came out. l1_rows is the version of the day's truth: L1 is append-only, so a proof
-- speaks for the day as long as L1 has that many rows in it.
CREATE TABLE IF NOT EXISTS partition_proofs
(
    layer          LowCardinality(String) COMMENT 'The layer that was proved',
    partition_id   String COMMENT 'YYYYMMDD of the UTC day; 0: impossible times',
    proved_at      DateTime64(6, 'UTC') DEFAULT now64(6),
    is_equal       UInt8 COMMENT '1: the layer equals its definition',
    was_rebuilt    UInt8 COMMENT '1: it did not, and was rebuilt from the layer above',
    l1_rows        UInt64 COMMENT 'Rows of the day in L1 when the proof began',
    rows           UInt64 COMMENT 'Rows of the layer after the proof',
    total_kWh      Float64 COMMENT 'Energy of the layer after the proof',
    checksum       UInt64 COMMENT 'Order-independent checksum of all rows',
    rows_found     UInt64 COMMENT 'Rows of the layer before the proof',
    total_kWh_found Float64 COMMENT 'Energy of the layer before the proof',
    duration_s     Float64,
    run_id         String COMMENT 'Dagster run, if any'
)
ENGINE = MergeTree
ORDER BY (layer, partition_id, proved_at)
COMMENT 'Proofs that a day of a layer equals its definition';
