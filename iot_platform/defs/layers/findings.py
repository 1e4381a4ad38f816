"""Run a check's query from sql/checks/ and say what it found."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.defs import tables
from iot_platform.defs.partitions import days_of_run
from iot_platform.defs.resources import ClickHouse
from iot_platform.settings import Settings

# Lines of offenders that a check shows; its SQL gives them all.
SAMPLE_LINES = 20
# Without partitions a check looks at all days: ClickHouse's whole range of Date.
ALL_DAYS = (dt.date(1970, 1, 1), dt.date(2149, 6, 6))


@dataclass(frozen=True)
class Findings:
    """What a check found: ``offending`` of ``readings``, as ``lines`` of a table (offenders grouped, worst first)."""

    scope: str
    readings: int
    offending: int
    columns: Sequence[str]
    lines: Sequence[Sequence[object]]
    sql: str

    @property
    def share(self) -> float:
        """Offending readings per reading; 0 when there are no readings."""
        return self.offending / self.readings if self.readings else 0.0

    def metadata(self, **thresholds: float) -> Mapping[str, dg.MetadataValue | int | float | str]:
        """Counts, thresholds, a sample of the offenders, and the SQL that shows them all."""
        facts: dict[str, dg.MetadataValue | int | float | str] = {
            "days": self.scope,
            "readings": self.readings,
            "offending_readings": self.offending,
            "offending_share": float(f"{self.share:.3g}"),
            **thresholds,
            "sql": dg.MetadataValue.md(f"```sql\n{self.sql}\n```"),
        }
        if self.lines:
            facts["offenders"] = dg.MetadataValue.md(tables.markdown_table(self.columns, self.lines[:SAMPLE_LINES]))
        return facts


def find(context: dg.AssetCheckExecutionContext, clickhouse: ClickHouse, check: str, table: str) -> Findings:
    """Look for offenders in the run's days, or in all days when it has none; ``table`` counts the readings looked at.

    The query groups the offenders: each of its lines has their number in the column ``readings``.
    """
    days = days_of_run(context)
    first, last = (days[0], days[-1]) if days else ALL_DAYS
    sql = read_query(check)
    with clickhouse.session(context.run, context.op_execution_context.op_def.name) as client:
        result = client.query(sql, parameters={"first_day": first, "last_day": last})
        readings = _count(client, table, first, last)
    # An answer without rows may come without columns.
    position = result.column_names.index("readings") if result.result_rows else 0
    return Findings(
        scope=_scope(days),
        readings=readings,
        offending=sum(line[position] for line in result.result_rows),
        columns=result.column_names,
        lines=result.result_rows,
        sql=_with_values(sql, first, last),
    )


def read_query(check: str) -> str:
    """The text of a check's query."""
    return (Settings().sql_dir / "checks" / f"{check}.sql").read_text(encoding="utf-8").strip()


def _count(client: Client, table: str, first: dt.date, last: dt.date) -> int:
    rows = client.query(
        f"SELECT count() FROM {quoted(table)} WHERE toDate(timestamp) BETWEEN {{first:Date}} AND {{last:Date}}",
        parameters={"first": first, "last": last},
    ).result_rows
    return int(rows[0][0])


def _scope(days: Sequence[dt.date]) -> str:
    if not days:
        return "all days"
    return f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _with_values(sql: str, first: dt.date, last: dt.date) -> str:
    """The query as a person can run it in any client."""
    sql = re.sub(r"^--.*\n", "", sql, flags=re.MULTILINE)
    return sql.replace("{first_day:Date}", f"'{first}'").replace("{last_day:Date}", f"'{last}'")
