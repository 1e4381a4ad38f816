-- recorded with the next file
-- The ledger entry of a batch comes with its insert: the readings carry their source and range, and a view counts them.
--
-- Readings flow meanwhile, so tables come before the view. A writer of the version before sends no source, so the view
-- ignores its batches and it goes on to write its own entries.

-- A writer that ended without closing its lease may have inserted what the ledger does not know. Whoever writes the
-- source next compares the ledger with L1, from arrivals_from on.
CREATE TABLE IF NOT EXISTS ingestion_leases
(
    source        String COMMENT 'The source, as in ingestion_ledger',
    description   String COMMENT 'For people: file name, simulator settings',
    writer        String COMMENT 'Random name of the writer; tokens of inserts of several sources begin with it',
    state         Enum8('open' = 1, 'closed' = 2) COMMENT 'open: the source is being written, or its writer was killed',
    arrivals_from DateTime64(6, 'UTC') COMMENT 'The ledger knows the outcome of every batch that arrived before',
    recorded_at   DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(recorded_at)
ORDER BY source
COMMENT 'The newest lease of each source: who writes it, and since when the ledger may lack batches';

ALTER TABLE l1_power_raw
    ADD COLUMN IF NOT EXISTS source LowCardinality(String) COMMENT 'The source that delivered the reading, as in ingestion_ledger; empty: inserted by hand, or by an older version' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS position_from Int64 COMMENT 'First position of its batch' CODEC(Delta, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS position_to Int64 COMMENT 'Position after the last one of its batch' CODEC(Delta, ZSTD(1));

-- Grouped by a hash of the source: a text as one of several keys takes twice as long.
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_l1_to_ledger TO ingestion_ledger AS
SELECT
    any(rows.source) AS source,
    rows.position_from AS position_from,
    rows.position_to AS position_to,
    'committed' AS state,
    concat(source, '/', toString(position_from), '-', toString(position_to)) AS token,
    min(rows.ingested_at) AS ingested_at,
    count() AS readings,
    sumIf(rows.power_usage_kWh, isFinite(rows.power_usage_kWh)) AS total_kWh,
    min(rows.timestamp) AS first_timestamp,
    max(rows.timestamp) AS last_timestamp
FROM l1_power_raw AS rows
WHERE rows.source != ''
GROUP BY materialize(sipHash128(rows.source)), rows.position_from, rows.position_to;
