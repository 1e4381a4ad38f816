"""Links from a run to its ClickHouse queries, which have the run's id in their log_comment."""

from __future__ import annotations

import base64
from urllib.parse import urlsplit

import dagster as dg

from iot_platform.security.escaping import markdown_code_block
from iot_platform.settings import Settings

QUERIES_OF_RUN = """\
SELECT event_time_microseconds, query_duration_ms, read_rows, formatReadableSize(memory_usage) AS memory,
    exception_code, query
FROM system.query_log
WHERE type != 'QueryStart' AND JSONExtractString(log_comment, 'dagster_run_id') = '{run_id}'
    AND event_date >= today() - 1
ORDER BY event_time_microseconds"""


def queries_of_run(run: dg.DagsterRun, settings: Settings) -> dict[str, dg.MetadataValue]:
    """The SQL that lists a run's queries and, for a ClickHouse server, a link to its web page with that SQL."""
    sql = QUERIES_OF_RUN.format(run_id=run.run_id)
    entries: dict[str, dg.MetadataValue] = {"clickhouse_queries": dg.MetadataValue.md(markdown_code_block(sql, "sql"))}
    if settings.clickhouse_url is not None:
        parts = urlsplit(settings.clickhouse_url.get_secret_value())
        # Without user and password: the web page asks for them.
        server = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        query = base64.b64encode(sql.encode()).decode()
        entries["clickhouse_query_log"] = dg.MetadataValue.url(f"{server}/play#{query}")
    return entries
