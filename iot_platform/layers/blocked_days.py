"""Days that a failed check blocks. The table ``check_results`` has the latest outcome of each blocking check by day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.rows import insert_rows

TABLE = "check_results"
_COLUMNS = ["asset", "check_name", "day", "is_red", "offending", "run_id"]


@dataclass(frozen=True)
class BlockedDay:
    """A day on which a blocking check of a layer failed. The layers built from that layer leave this day out."""

    day: dt.date
    asset: str
    check: str
    offending: int
    run_id: str

    def __str__(self) -> str:
        return f"{self.day}: {self.check} of {self.asset} found {self.offending:,} (run {self.run_id[:8]})"


def record_outcome(
    client: Client,
    asset: str,
    check: str,
    failed: Mapping[dt.date, float],
    checked_days: Sequence[dt.date],
    run_id: str,
) -> None:
    """Store the outcome of a check: the ``failed`` days with their number of offenders; the others passed.

    ``checked_days``: the days that the check looked at. Empty: it looked at all days, so each day that failed
    before and is not in ``failed`` has now passed.
    """
    days: Iterable[dt.date] = (
        checked_days or {blocked.day for blocked in blocked_days(client, [asset], check=check)} | failed.keys()
    )
    rows = [[asset, check, day, int(day in failed), int(failed.get(day, 0)), run_id] for day in sorted(days)]
    if rows:
        insert_rows(client, TABLE, rows, _COLUMNS)


def blocked_days(
    client: Client, assets: Sequence[str], days: Sequence[dt.date] | None = None, *, check: str = ""
) -> list[BlockedDay]:
    """The blocked days of some assets, oldest first; only among ``days`` and only by ``check``, where given."""
    rows = client.query(
        f"SELECT day, asset, check_name, offending, run_id FROM {TABLE} FINAL "
        "WHERE is_red AND asset IN {assets:Array(String)} AND ({all_days:Bool} OR day IN {days:Array(Date)}) "
        "AND ({check:String} = '' OR check_name = {check:String}) ORDER BY day, asset, check_name",
        parameters={"assets": list(assets), "all_days": days is None, "days": list(days or []), "check": check},
    ).result_rows
    return [
        BlockedDay(day, str(asset), str(name), int(offending), str(run)) for day, asset, name, offending, run in rows
    ]
