-- Each attempt to read a source of device metadata, good or not: how old the metadata is, also while its source is away,
-- and where the next increment begins. (What a refresh has changed is in device_metadata: recorded_at.)
CREATE TABLE IF NOT EXISTS metadata_refreshes
(
    source      LowCardinality(String) COMMENT 'Kind of the source: csv, crm',
    location    String COMMENT 'File, URL or CRM object, without secrets',
    started_at  DateTime64(3, 'UTC') COMMENT 'When reading it began',
    finished_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When its metadata was stored, or the attempt failed',
    outcome     Enum8('failed' = 0, 'refreshed' = 1) COMMENT 'failed: nothing was changed',
    is_full     UInt8 COMMENT '1: all of it was read, 0: what had changed since the last time',
    position    String COMMENT 'csv: SHA-256 of the content; crm: newest change that was read',
    device_ids  LowCardinality(String) COMMENT 'How ids were read: numeric, external',
    rows        UInt64 COMMENT 'Rows that were read',
    new         UInt64 COMMENT 'Rows of devices that were not known',
    changed     UInt64 COMMENT 'Rows that say something else than before',
    closed      UInt64 COMMENT 'Devices that are not listed any more',
    problem     String COMMENT 'Why it failed',
    run_id      String COMMENT 'Dagster run'
)
ENGINE = MergeTree
ORDER BY (source, started_at)
COMMENT 'Attempts to read the sources of device metadata';
