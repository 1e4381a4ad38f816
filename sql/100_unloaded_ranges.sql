-- A load can be taken out of every layer again: its ranges are "unloading" until that is done, and then "unloaded".
-- A load by the version before leaves both out, as if they were committed.
ALTER TABLE ingestion_ledger
    MODIFY COLUMN state Enum8('sending' = 1, 'committed' = 2, 'unloading' = 3, 'unloaded' = 4) COMMENT 'sending: the outcome of the insert is not known yet; unloading: its readings are being taken out; unloaded: L1 has none of them';
