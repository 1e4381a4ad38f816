-- What became of the files of the inbox (IOT_INBOX). Rows are only added: the newest one of a path holds.
CREATE TABLE IF NOT EXISTS inbox_files
(
    path            String COMMENT 'Path in the inbox',
    version         String COMMENT 'Changes when the file is written again: its size, time and the like',
    mapping_version String COMMENT 'Changes with the mapping of the file: one that failed is tried again then',
    state           Enum8('loading' = 1, 'loaded' = 2, 'failed' = 3, 'later' = 4, 'gone' = 5) COMMENT 'loading: a run has begun, and may have been killed; later: it could not be loaded at that moment; gone: it failed, and is not there any more',
    content         String COMMENT 'Begin of the SHA-256 of the content, if it is known',
    source          String COMMENT 'The source of its readings, as in ingestion_ledger',
    message         String COMMENT 'Why it failed, or how it was read',
    run_id          String COMMENT 'Dagster run',
    recorded_at     DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When this row was written'
)
ENGINE = MergeTree
ORDER BY (path, recorded_at)
COMMENT 'What became of the files of the inbox';
