-- Time since the last successful read of the metadata source, and the failed attempts since then.
WITH (
    SELECT maxOrNull(started_at) FROM metadata_refreshes WHERE source = {source:String} AND outcome = 'refreshed'
) AS last_read
SELECT
    dateDiff('second', last_read, now64(3, 'UTC')) / 3600 AS hours_since_read,
    dateDiff('second', maxOrNullIf(started_at, outcome = 'refreshed' AND is_full), now64(3, 'UTC')) / 3600 AS hours_since_full_read,
    dateDiff('second', minOrNull(started_at), now64(3, 'UTC')) / 3600 AS hours_since_first_attempt,
    countIf(outcome = 'failed' AND started_at > coalesce(last_read, toDateTime64(0, 3, 'UTC'))) AS failures_since,
    argMaxIf(problem, started_at, outcome = 'failed') AS last_problem
FROM metadata_refreshes
WHERE source = {source:String}
