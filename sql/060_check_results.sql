-- What the checks that hold the next layer back said last of each day: the next run asks here, whoever starts it.
CREATE TABLE IF NOT EXISTS check_results
(
    asset        LowCardinality(String) COMMENT 'The asset that was checked',
    check_name   LowCardinality(String) COMMENT 'The fact that was checked',
    day          Date COMMENT 'UTC day',
    is_red       UInt8 COMMENT '1: failed with severity ERROR, the next layer is held back',
    offending    UInt64 COMMENT 'What broke it on that day',
    run_id       String COMMENT 'Dagster run',
    checked_at   DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(checked_at)
ORDER BY (asset, check_name, day)
COMMENT 'Newest outcome of the blocking checks by day';
