"""Which days of a layer are red: the newest outcome of each blocking check, by day, in ClickHouse."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

TABLE = "check_results"
_COLUMNS = ["asset", "check_name", "day", "is_red", "offending", "run_id"]


@dataclass(frozen=True)
class Hold:
    """A day that a check holds back."""

    day: dt.date
    asset: str
    check: str
    offending: int
    run_id: str

    def __str__(self) -> str:
        return f"{self.day}: {self.check} of {self.asset} found {self.offending:,} (run {self.run_id[:8]})"


def record(
    client: Client, asset: str, check: str, red: Mapping[dt.date, float], looked_at: Sequence[dt.date], run_id: str
) -> None:
    """Store what a check found: its ``red`` days with what offends, and green for the others that it looked at.

    ``looked_at``: the days; empty: all there are, so that every day that was red and is not any more turns green.
    """
    days: Iterable[dt.date] = looked_at or {hold.day for hold in holds(client, [asset], check=check)} | red.keys()
    rows = [[asset, check, day, int(day in red), int(red.get(day, 0)), run_id] for day in sorted(days)]
    if rows:
        client.insert(TABLE, rows, column_names=_COLUMNS)


def holds(
    client: Client, assets: Sequence[str], days: Sequence[dt.date] | None = None, *, check: str = ""
) -> list[Hold]:
    """The red days of some assets, oldest first; ``days``: only among these; ``check``: only of this one."""
    rows = client.query(
        f"SELECT day, asset, check_name, offending, run_id FROM {TABLE} FINAL "
        "WHERE is_red AND asset IN {assets:Array(String)} AND ({all_days:Bool} OR day IN {days:Array(Date)}) "
        "AND ({check:String} = '' OR check_name = {check:String}) ORDER BY day, asset, check_name",
        parameters={"assets": list(assets), "all_days": days is None, "days": list(days or []), "check": check},
    ).result_rows
    return [Hold(day, str(asset), str(name), int(offending), str(run)) for day, asset, name, offending, run in rows]
