"""Run a check's query from sql/checks/ and say what it found."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.defs import table_metadata as tables
from iot_platform.defs.layers.rules import Rule
from iot_platform.layers.catalog import L4, RAW_TABLE, partition_day, partition_id
from iot_platform.layers.partitions import grouped, partition_rows
from iot_platform.security.escaping import markdown_code_block
from iot_platform.settings import Settings

# Lines of offenders that a check shows; its SQL gives them all.
SAMPLE_LINES = 20
# Days that are listed by name.
DAYS_SHOWN = 10
# Without partitions a check looks at all days: ClickHouse's whole range of Date.
ALL_DAYS = (dt.date(1970, 1, 1), dt.date(2149, 6, 6))

# Columns for the platform, not for people.
_BY_DAY, _OFFENDERS = "by_day", "number_of_offenders"


@dataclass(frozen=True)
class Findings:
    """What a check found: by day what offends and the total, and the first ``lines`` of ``offenders``, worst first."""

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
        """What offends, in the rule's unit."""
        return sum(self.offending_by_day.values())

    @property
    def total(self) -> float:
        """All there is, in the rule's unit."""
        return sum(self.total_by_day.values())

    @property
    def share(self) -> float:
        """The offending share of all; 0 when there is nothing."""
        return self.offending / self.total if self.total else float(self.offending > 0)

    def days_above(self, share: float | None) -> dict[dt.date, float]:
        """Days with a larger offending share, and what offends on them; None: no day ever."""
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

    def metadata(self) -> dict[str, dg.MetadataValue | int | float | str]:
        """Counts, a sample of the offenders, the SQL that shows them all, and what to do."""
        unit = self.rule.unit
        facts: dict[str, dg.MetadataValue | int | float | str] = {
            "days": self.scope,
            unit: _number(self.total),
            f"offending_{unit}": _number(self.offending),
            "offending_share": float(f"{self.share:.3g}"),
            "sql": dg.MetadataValue.md(markdown_code_block(self.sql, "sql")),
        }
        if self.lines:
            facts["offenders"] = dg.MetadataValue.md(self._table())
            listed = ", ".join(map(str, sorted(self.offending_by_day)[-DAYS_SHOWN:]))
            facts["offending_days"] = f"{len(self.offending_by_day)}: {listed}"
            facts["what_to_do"] = dg.MetadataValue.md(self.rule.to_do)
        return facts

    def _table(self) -> str:
        table = tables.markdown_table(self.columns, self.lines)
        more = self.offenders - len(self.lines)
        return f"{table}\n\nand {more:,} more: run `sql`." if more else table


def find(client: Client, rule: Rule, days: Sequence[dt.date]) -> Findings:
    """Look for what breaks a rule on some days (they follow each other), or on all days when there are none.

    Days that are too many or too large for one query are looked at in several; then the sample begins with the worst
    of the first of them.
    """
    sql = read_query(rule.name)
    # The order of a subquery is lost outside of it.
    body, order = sql.rsplit("\nORDER BY ", maxsplit=1)
    offending: dict[dt.date, float] = {}
    total: dict[dt.date, float] = {}
    offenders, columns, lines = 0, list[str](), list[Sequence[object]]()
    for first, last in _pieces(client, days):
        result = client.query(
            # Only the sample leaves ClickHouse; every line of it tells what all of them come to.
            f"SELECT * REPLACE (sumMap({_BY_DAY}) OVER () AS {_BY_DAY}), count() OVER () AS {_OFFENDERS} "
            f"FROM (\n{body}\n) ORDER BY {order} LIMIT {SAMPLE_LINES}",
            parameters={"first_day": first, "last_day": last, **rule.parameters},
        )
        total |= _totals(client, rule, first, last)
        # An answer without rows may come without columns.
        if result.result_rows:
            shown = [index for index, name in enumerate(result.column_names) if name not in (_BY_DAY, _OFFENDERS)]
            columns = [result.column_names[index] for index in shown]
            lines += [[line[index] for index in shown] for line in result.result_rows]
            offending |= result.result_rows[0][result.column_names.index(_BY_DAY)]
            offenders += result.result_rows[0][result.column_names.index(_OFFENDERS)]
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


def _pieces(client: Client, days: Sequence[dt.date]) -> Iterator[tuple[dt.date, dt.date]]:
    """First and last days of what one query looks at, so that its memory does not grow with the days of a run."""
    rows = partition_rows(client, RAW_TABLE)
    first, last = (days[0], days[-1]) if days else ALL_DAYS
    # Other layers may have days that L1 does not: the pieces leave none out.
    known = days or sorted(day for partition in rows if (day := partition_day(partition)))
    by_partition = {partition_id(day): day for day in known}
    for group in list(grouped(list(by_partition), rows))[:-1]:
        yield first, by_partition[group[-1]]
        first = by_partition[group[-1]] + dt.timedelta(days=1)
    yield first, last


def read_query(check: str) -> str:
    """The text of a check's query."""
    return (Settings().sql_dir / "checks" / f"{check}.sql").read_text(encoding="utf-8").strip()


def _totals(client: Client, rule: Rule, first: dt.date, last: dt.date) -> dict[dt.date, float]:
    time = "ts_hour" if rule.counted_table == L4.name else "timestamp"
    rows = client.query(
        f"SELECT toDate({time}) AS day, {rule.of} FROM {quoted(rule.counted_table)} "
        "WHERE day BETWEEN {first:Date} AND {last:Date} GROUP BY day",
        parameters={"first": first, "last": last, **rule.parameters},
    ).result_rows
    return {day: float(total) for day, total in rows}


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else round(value, 3)


def _with_values(sql: str, values: Mapping[str, object]) -> str:
    """The query as a person can run it in any client."""
    sql = re.sub(r"^--.*\n", "", sql, flags=re.MULTILINE)
    return re.sub(r"\{(\w+):\w+\}", lambda match: str(values[match[1]]), sql)
