-- All readings of a batch have the same arrival time in L1 (readings of one key within a batch count up by a
-- microsecond), so that exactly the readings of a batch can be found again after a crash.
ALTER TABLE ingestion_ledger
    ADD COLUMN IF NOT EXISTS ingested_at DateTime64(6, 'UTC') COMMENT 'Arrival time of the batch in L1' AFTER token;
