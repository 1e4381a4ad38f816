-- Partitions that must be proved again because something their definition looks up has changed (metadata, limits).
-- A request is open until a proof of the same layer and partition that began after it.
CREATE TABLE IF NOT EXISTS proof_requests
(
    layer        LowCardinality(String) COMMENT 'The layer to prove; empty: the change touches no partition',
    partition_id String COMMENT 'YYYYMMDD of the UTC day',
    changed_at   DateTime64(6, 'UTC') COMMENT 'recorded_at of the change; its rows in device_metadata or power_limits have the same',
    requested_at DateTime64(6, 'UTC') COMMENT 'Once before the change takes effect, once after',
    reason       String COMMENT 'For people: what has changed'
)
ENGINE = MergeTree
ORDER BY (layer, partition_id, requested_at)
COMMENT 'Partitions to prove again because of changed metadata or limits';
