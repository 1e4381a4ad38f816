"""The table ``ingestion_ledger``: which ranges of a source's positions are in L1.

The view ``mv_l1_to_ledger`` writes the entry of a batch together with its readings. Written here are those of batches
without readings, of batches that were completed after a crash, and the end of a source.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.rows import insert_rows
from iot_platform.errors import SourceError

Range = tuple[int, int]
State = Literal["sending", "committed", "unloading", "unloaded"]
# How the names of streams begin.
STREAM = "stream:"

_COLUMNS = (
    "position_from, position_to, toString(state), token, readings, total_kWh, first_timestamp, last_timestamp, "
    "ingested_at, recorded_at"
)

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class LedgerEntry:
    """One batch of a source: the half-open range of positions that it covers, and a summary of its readings.

    "sending": the outcome of its insert is not known. ``readings`` is 0 then, or what was sent, if it is known.
    "unloading", "unloaded": its readings are being taken out of L1, or have been; see unload.py.
    """

    position_from: int
    position_to: int
    state: State
    token: str
    readings: int = 0
    total_kWh: float = 0.0
    first_timestamp: dt.datetime = EPOCH
    last_timestamp: dt.datetime = EPOCH
    ingested_at: dt.datetime = EPOCH
    # Set by the server.
    recorded_at: dt.datetime = EPOCH

    @property
    def range(self) -> Range:
        """The half-open range of positions."""
        return self.position_from, self.position_to


class Ledger:
    """The ledger entries of one source. ``description`` is stored for people who read the table."""

    def __init__(self, client: Client, source: str, description: str = "") -> None:
        self._client = client
        self.source = source
        self.description = description

    def entries(self, position_from: int, position_to: int) -> list[LedgerEntry]:
        """Entries that overlap a range, in order.

        Ranges that were unloaded are left out, so that they can be written again. Those of a stream are not: what an
        outbox sends once more is a repetition. Raises SourceError where an unload was interrupted.
        """
        condition = "position_to > {from:Int64} AND position_from < {to:Int64}"
        return self.writable(self._select(condition, {"from": position_from, "to": position_to}))

    def writable(self, entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
        """Of all entries of this source, those that ``entries`` returns, with the same error."""
        is_stream = self.source.startswith(STREAM)
        found = [entry for entry in entries if entry.state != "unloaded" or is_stream]
        if unfinished := next((entry for entry in found if entry.state == "unloading"), None):
            raise SourceError(
                f"Source {self.source}, positions {unfinished.range}: an unload of this load was interrupted. Nothing "
                "was written. Run `iot-platform unload` again (`iot-platform loads` shows its ID), then try again."
            )
        return found

    def arrived_since(self, arrived_at: dt.datetime) -> list[LedgerEntry]:
        """Entries of batches that arrived at a time or later."""
        return self._select("ingested_at >= {since:DateTime64(6, 'UTC')}", {"since": arrived_at})

    def end(self) -> int | None:
        """Number of positions of the source; None until a load has reached its end."""
        rows = self._client.query(
            "SELECT max(position_from) FROM ingestion_ledger FINAL WHERE source = {source:String} "
            "AND position_from = position_to AND state = 'committed' HAVING count() > 0",
            parameters={"source": self.source},
        ).result_rows
        return int(rows[0][0]) if rows else None

    def is_known(self) -> bool:
        """Whether anything of the source was sent that was not unloaded since."""
        found = self._client.query(
            "SELECT 1 FROM ingestion_ledger FINAL WHERE source = {source:String} AND state != 'unloaded' LIMIT 1",
            parameters={"source": self.source},
        )
        return bool(found.result_rows)

    def record(self, *entries: LedgerEntry) -> None:
        """Write entries; each replaces an earlier entry of the same range."""
        record_entries(self._client, [(self, entry) for entry in entries])

    def token(self, bounds: Range) -> str:
        """How the deduplication token begins when the batch of a range is inserted by itself.

        The token of an insert of several batches begins with the writer's name. Each token ends with a new UUID.
        """
        return f"{self.source}/{bounds[0]}-{bounds[1]}"

    def unknown_outcome(self, bounds: Range, arrived_at: dt.datetime) -> LedgerEntry:
        """An entry for a range of which L1 may have any part."""
        return LedgerEntry(*bounds, "sending", self.token(bounds), ingested_at=arrived_at)

    def record_end(self, position: int) -> None:
        """Store that the source ends at ``position``."""
        self.record(end_of(position))

    def _select(self, condition: str, parameters: Mapping[str, object]) -> list[LedgerEntry]:
        rows = self._client.query(
            f"SELECT {_COLUMNS} FROM ingestion_ledger FINAL WHERE source = {{source:String}} AND {condition} "
            "AND (state != 'unloaded' OR {is_stream:Bool}) ORDER BY position_from",
            parameters={"source": self.source, "is_stream": self.source.startswith(STREAM), **parameters},
        ).result_rows
        return [_entry(row) for row in rows]


def end_of(position: int) -> LedgerEntry:
    """The entry of the end of a source: an empty range, which overlaps no other."""
    return LedgerEntry(position, position, "committed", token="")


def entries_of(client: Client, sources: Sequence[str]) -> dict[str, list[LedgerEntry]]:
    """All entries of sources, in order: what ``Ledger.entries`` and ``Ledger.end`` choose from, with one query."""
    rows = client.query(
        f"SELECT source, {_COLUMNS} FROM ingestion_ledger FINAL WHERE source IN {{sources:Array(String)}} "
        "ORDER BY source, position_from, position_to",
        parameters={"sources": list(sources)},
    ).result_rows
    found: dict[str, list[LedgerEntry]] = {source: [] for source in sources}
    for source, *row in rows:
        found[str(source)].append(_entry(row))
    return found


def loaded_to(entries: Iterable[LedgerEntry]) -> tuple[int, int] | None:
    """From all entries of a source: its number of positions and of readings, if it was written to its end."""
    committed = [entry for entry in entries if entry.state == "committed"]
    end = max((entry.position_to for entry in committed if entry.position_from == entry.position_to), default=None)
    if end is None or uncommitted_ranges(
        (entry for entry in committed if entry.position_from < entry.position_to), 0, end
    ):
        return None
    return end, sum(entry.readings for entry in committed if entry.position_from < end)


def record_entries(client: Client, entries: Iterable[tuple[Ledger, LedgerEntry]]) -> None:
    """Write entries of several sources at once."""
    rows = [
        {
            "source": ledger.source,
            "position_from": entry.position_from,
            "position_to": entry.position_to,
            "state": entry.state,
            "token": entry.token,
            "ingested_at": entry.ingested_at,
            "readings": entry.readings,
            "total_kWh": entry.total_kWh,
            "first_timestamp": entry.first_timestamp,
            "last_timestamp": entry.last_timestamp,
            "description": ledger.description,
        }
        for ledger, entry in entries
    ]
    if rows:
        insert_rows(client, "ingestion_ledger", [list(row.values()) for row in rows], list(rows[0]))


def _entry(row: Sequence[Any]) -> LedgerEntry:
    return LedgerEntry(*row[:-4], *(time.replace(tzinfo=dt.UTC) for time in row[-4:]))


def uncommitted_ranges(
    entries: Iterable[LedgerEntry], position_from: int, position_to: int
) -> list[tuple[Range, bool]]:
    """The parts of a range that are not committed, in order; True: an insert was sent and its outcome is unknown.

    Such a part keeps its old bounds, even if they exceed the given range: it is compared with the readings that L1 has
    of this range and arrival time, so it must be offered again as it was.
    """
    found: list[tuple[Range, bool]] = []
    if position_from >= position_to:
        return found
    position = position_from
    for entry in sorted(entries, key=lambda entry: entry.range):
        if entry.position_from >= position_to or entry.position_to <= position_from:
            continue
        if entry.position_from > position:
            found.append(((position, entry.position_from), False))
        if entry.state == "sending":
            found.append((entry.range, True))
        position = max(position, entry.position_to)
    if position < position_to:
        found.append(((position, position_to), False))
    return found


def split_ranges(ranges: Iterable[tuple[Range, bool]], size: int) -> Iterator[Range]:
    """Split ranges into ranges of at most ``size`` positions; a range that was sent before is not split."""
    for (start, stop), was_sent in ranges:
        if was_sent:
            yield start, stop
            continue
        for position in range(start, stop, size):
            yield position, min(position + size, stop)
