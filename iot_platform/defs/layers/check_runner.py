"""Run a check's query from sql/checks/ and report what it found."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.defs import table_entries
from iot_platform.defs.check_queries import SAMPLE_LINES, as_subquery, read_query
from iot_platform.defs.layers.rules import Rule
from iot_platform.defs.table_entries import Entries
from iot_platform.layers.catalog import LAYERS_BY_NAME, RAW_TABLE, partition_day, partition_id
from iot_platform.layers.partitions import grouped, partition_rows
from iot_platform.security.escaping import markdown_code_block

# Days that are listed by name.
DAYS_SHOWN = 10
# Without partitions a check looks at all days: ClickHouse's whole range of Date.
ALL_DAYS = (dt.date(1970, 1, 1), dt.date(2149, 6, 6))

# Columns for the platform, not for people.
_BY_DAY, _OFFENDERS = "by_day", "number_of_offenders"
# People know a meter by its own id.
_METER, _DEVICE = "meter_id", "device_id"


@dataclass(frozen=True)
class Findings:
    """What a check found: offending amount and total by day, and the first ``lines`` of ``offenders``, worst first."""

    rule: Rule
    days: Sequence[dt.date]
    offending_by_day: Mapping[dt.date, float]
    total_by_day: Mapping[dt.date, float]
    offenders: int
    columns: Sequence[str]
    lines: Sequence[Sequence[object]]
    sql: str

    @property
    def offending(self) -> float:
        """The offending amount, in the rule's unit."""
        return sum(self.offending_by_day.values())

    @property
    def total(self) -> float:
        """The total, in the rule's unit."""
        return sum(self.total_by_day.values())

    @property
    def share(self) -> float:
        """The offending share of the total; 0 when there is nothing."""
        return self.offending / self.total if self.total else float(self.offending > 0)

    def days_above(self, share: float | None) -> dict[dt.date, float]:
        """Days whose offending share is larger than ``share``, with the offending amount; ``share`` None: no days."""
        if share is None:
            return {}
        return {
            day: count
            for day, count in self.offending_by_day.items()
            # Two sums of the same floats may differ a little.
            if count > share * self.total_by_day.get(day, 0.0) * (1 + 1e-9)
        }

    @property
    def scope(self) -> str:
        """The days in words."""
        if not self.days:
            return "all days"
        return f"{self.days[0]}" if len(self.days) == 1 else f"{self.days[0]} to {self.days[-1]}"

    def entries(self) -> Entries:
        """Counts, the SQL that shows all offenders, and what to do."""
        unit = self.rule.unit
        entries: dict[str, dg.MetadataValue | int | float | str] = {
            "days": self.scope,
            unit: _number(self.total),
            f"offending_{unit}": _number(self.offending),
            "offending_share": float(f"{self.share:.3g}"),
            "sql": dg.MetadataValue.md(markdown_code_block(self.sql, "sql")),
        }
        if self.lines:
            listed = ", ".join(map(str, sorted(self.offending_by_day)[-DAYS_SHOWN:]))
            entries["offending_days"] = f"{len(self.offending_by_day)}: {listed}"
            entries["what_to_do"] = dg.MetadataValue.md(self.rule.remediation)
        return entries

    def sample(self) -> dg.MetadataValue:
        """The first offenders as a table."""
        table = table_entries.markdown_table(self.columns, self.lines)
        more = self.offenders - len(self.lines)
        return dg.MetadataValue.md(f"{table}\n\nand {more:,} more: run `sql`." if more else table)


def find(client: Client, rule: Rule, days: Sequence[dt.date]) -> Findings:
    """Find what breaks a rule on some consecutive days, or on all days when ``days`` is empty.

    Too many or too large days are split over several queries. The sample then begins with the worst of the first query.
    """
    sql = read_query(rule.name)
    # Only the sample leaves ClickHouse; each of its lines has the totals of all lines.
    totals = f"* REPLACE (sumMap({_BY_DAY}) OVER () AS {_BY_DAY}), count() OVER () AS {_OFFENDERS}"
    sample_sql = f"{as_subquery(sql, select=totals)} LIMIT {SAMPLE_LINES}"
    offending: dict[dt.date, float] = {}
    total: dict[dt.date, float] = {}
    offenders, columns, lines = 0, list[str](), list[Sequence[object]]()
    for first, last in _query_ranges(client, days):
        values = {"first_day": first, "last_day": last, **rule.parameters}
        rows = list(client.query(sample_sql, parameters=values).named_results())
        total |= _totals(client, rule, first, last)
        if rows:
            hidden = {_BY_DAY, _OFFENDERS, _DEVICE if _METER in rows[0] else ""}
            columns = [name for name in rows[0] if name not in hidden]
            lines += [[row[name] for name in columns] for row in rows]
            offending |= rows[0][_BY_DAY]
            offenders += rows[0][_OFFENDERS]
    if rule.counts_absent:
        total = {day: total.get(day, 0.0) + offending.get(day, 0.0) for day in total.keys() | offending.keys()}
    first, last = (days[0], days[-1]) if days else ALL_DAYS
    return Findings(
        rule=rule,
        days=days,
        offending_by_day=offending,
        total_by_day=total,
        offenders=offenders,
        columns=columns,
        lines=lines[:SAMPLE_LINES],
        sql=_with_values(sql, {"first_day": f"toDate('{first}')", "last_day": f"toDate('{last}')", **rule.parameters}),
    )


def _query_ranges(client: Client, days: Sequence[dt.date]) -> Iterator[tuple[dt.date, dt.date]]:
    """First and last day of each query, so that its memory does not grow with the days of a run."""
    first, last = (days[0], days[-1]) if days else ALL_DAYS
    if first == last:
        yield first, last
        return
    rows = partition_rows(client, RAW_TABLE)
    # Other layers may have days that L1 lacks: the ranges cover them, too.
    known = days or sorted(day for partition in rows if (day := partition_day(partition)))
    by_partition = {partition_id(day): day for day in known}
    for group in list(grouped(list(by_partition), rows))[:-1]:
        yield first, by_partition[group[-1]]
        first = by_partition[group[-1]] + dt.timedelta(days=1)
    yield first, last


def _totals(client: Client, rule: Rule, first: dt.date, last: dt.date) -> dict[dt.date, float]:
    layer = LAYERS_BY_NAME.get(rule.counted_table)
    time = layer.time_column if layer else "timestamp"
    rows = client.query(
        f"SELECT toDate({time}) AS day, {rule.denominator_sql} FROM {quoted(rule.counted_table)} "
        "WHERE day BETWEEN {first:Date} AND {last:Date} GROUP BY day",
        parameters={"first": first, "last": last, **rule.parameters},
    ).result_rows
    return {day: float(total) for day, total in rows}


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else round(value, 3)


def _with_values(sql: str, values: Mapping[str, object]) -> str:
    """The query with its values, to be run in any client."""
    sql = re.sub(r"^--.*\n", "", sql, flags=re.MULTILINE)
    return re.sub(r"\{(\w+):\w+\}", lambda match: str(values[match[1]]), sql)
