-- What each source has delivered: ranges of positions (rows of a file, seconds of a stream). A source is never asked
-- for a range that is committed here, so a repeated load adds nothing, whatever the size of its batches.
CREATE TABLE IF NOT EXISTS ingestion_ledger
(
    source          String COMMENT 'Stable name of the source; other content, other name',
    position_from   Int64 COMMENT 'First position of the batch',
    position_to     Int64 COMMENT 'Position after the last one of the batch',
    state           Enum8('sending' = 1, 'committed' = 2) COMMENT 'sending: the outcome of the insert is not known yet',
    token           String COMMENT 'insert_deduplication_token of the batch',
    readings        UInt64 COMMENT 'Readings inserted into L1',
    total_kWh       Float64 COMMENT 'Sum of their finite values',
    first_timestamp DateTime('UTC') COMMENT 'Oldest reading',
    last_timestamp  DateTime('UTC') COMMENT 'Newest reading',
    description     String COMMENT 'For people: file name, simulator settings',
    recorded_at     DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(recorded_at)
ORDER BY (source, position_from, position_to)
COMMENT 'Batches sent to L1 and their state';

CREATE TABLE IF NOT EXISTS meter_ids
(
    external_id   String COMMENT 'The id as the source writes it',
    device_id     UInt32 COMMENT 'The id in all layers',
    registered_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(registered_at)
ORDER BY external_id
COMMENT 'Numbers given to meters whose own ids are not numbers';
