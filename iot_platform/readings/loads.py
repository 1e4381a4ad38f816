"""The loads: what each source has delivered, from the ledger, the leases and L1."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.lock import is_alive
from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.readings.ledger import EPOCH, LedgerEntry
from iot_platform.readings.source_lease import lock_name, source_id

FILE = "file:"
# An ID has this many digits where it is shown; more and fewer are understood.
ID_DIGITS = 8

LoadState = Literal["writing", "complete", "interrupted", "unloading", "partly unloaded", "unloaded"]

# An end of a file is an entry without positions.
_SUMS = """
SELECT source, toString(state), countIf(position_from < position_to), sum(readings), sum(total_kWh),
    minIf(first_timestamp, readings > 0), maxIf(last_timestamp, readings > 0),
    min(if(toUnixTimestamp64Micro(ingested_at) = 0, recorded_at, ingested_at)), sum(position_to - position_from),
    countIf(position_from = position_to), maxIf(position_from, position_from = position_to), max(description)
FROM ingestion_ledger FINAL
WHERE source IN {sources:Array(String)}
GROUP BY source, state
"""


@dataclass(frozen=True)
class Load:
    """A file, a stream or the simulated meters: all that came from one source.

    ``readings``, ``total_kWh``, ``batches``, ``first_day`` and ``last_day`` (UTC): as they were sent, without what was
    unloaded (unless all of it was). ``meters``: of the readings in L1; None if L1 does not know its source, which older
    versions did not store. ``began_at``: when its first batch arrived.
    """

    id: str
    source: str
    description: str
    state: LoadState
    began_at: dt.datetime
    batches: int
    readings: int
    total_kWh: float
    meters: int | None
    first_day: dt.date | None
    last_day: dt.date | None


def loads(client: Client, limit: int | None = None) -> list[Load]:
    """The loads, those with the newest batches first; ``limit``: at most so many."""
    return _described(client, _sources(client, limit))


def find_load(client: Client, text: str) -> Load:
    """The load whose source is ``text``, or whose ID begins so. Raises PlatformError if there is not exactly one."""
    wanted = text.strip().lower()
    found = [name for name in _sources(client, None) if name == text or source_id(name).startswith(wanted)]
    if len(found) != 1 or not wanted:
        shown = ", ".join(source_id(name) for name in found[:5])
        problem = f"Several loads have an ID that begins with {text!r}: {shown}" if found else f"No load {text!r}"
        raise PlatformError(f"{problem}. `iot-platform loads --all` lists them.")
    return _described(client, found)[0]


def batches_of(client: Client, source: str) -> list[LedgerEntry]:
    """All batches of a source, also those that were unloaded, by their positions."""
    rows = client.query(
        "SELECT position_from, position_to, toString(state), token, readings, total_kWh, first_timestamp, "
        "last_timestamp, ingested_at, recorded_at FROM ingestion_ledger FINAL "
        "WHERE source = {source:String} AND position_from < position_to ORDER BY position_from, position_to",
        parameters={"source": source},
    ).result_rows
    return [LedgerEntry(*row[:-4], *(time.replace(tzinfo=dt.UTC) for time in row[-4:])) for row in rows]


def _sources(client: Client, limit: int | None) -> list[str]:
    rows = client.query(
        "SELECT source FROM (SELECT source, recorded_at FROM ingestion_ledger UNION ALL "
        "SELECT source, recorded_at FROM ingestion_leases) GROUP BY source ORDER BY max(recorded_at) DESC, source"
        + ("" if limit is None else f" LIMIT {int(limit)}")
    ).result_rows
    return [str(row[0]) for row in rows]


def _described(client: Client, sources: Sequence[str]) -> list[Load]:
    parameters = {"sources": list(sources)}
    sums: dict[str, dict[str, Sequence[Any]]] = defaultdict(dict)
    for source, state, *values in client.query(_SUMS, parameters=parameters).result_rows:
        sums[source][state] = values
    leases = client.query(
        "SELECT source, argMax(description, recorded_at), max(recorded_at) FROM ingestion_leases "
        "WHERE source IN {sources:Array(String)} GROUP BY source",
        parameters=parameters,
    ).result_rows
    known = {str(source): (str(text), written_at.replace(tzinfo=dt.UTC)) for source, text, written_at in leases}
    counts = client.query(
        f"SELECT source, uniqExact(device_id) FROM {RAW_TABLE} "
        "WHERE source IN {sources:Array(String)} AND source != '' GROUP BY source",
        parameters=parameters,
    ).result_rows
    meters = {str(source): int(count) for source, count in counts}
    locked = _locks(client)
    return [
        _load(
            source,
            sums[source],
            *known.get(source, ("", EPOCH)),
            meters.get(source),
            is_locked=f"lock_{lock_name(source)}" in locked,
        )
        for source in sources
    ]


def _load(
    source: str,
    states: dict[str, Sequence[Any]],
    description: str,
    leased_at: dt.datetime,
    meters: int | None,
    *,
    is_locked: bool,
) -> Load:
    live = [values for state, values in states.items() if state != "unloaded" and values[0]]
    counted = live or list(states.values())
    readings = sum(int(values[1]) for values in counted)
    days = [time.date() for values in counted if values[1] for time in values[3:5]]
    return Load(
        id=source_id(source)[:ID_DIGITS],
        source=source,
        description=description or next((values[9] for values in counted if values[9]), ""),
        state="writing" if is_locked else _state(source, states, is_unloaded=not live),
        began_at=min((values[5].replace(tzinfo=dt.UTC) for values in counted), default=leased_at),
        batches=sum(int(values[0]) for values in counted),
        readings=readings,
        total_kWh=float(sum(values[2] for values in counted)),
        meters=int(meters) if meters else None if readings and live else 0,
        first_day=min(days, default=None),
        last_day=max(days, default=None),
    )


def _state(source: str, states: dict[str, Sequence[Any]], *, is_unloaded: bool) -> LoadState:
    if "unloading" in states:
        return "unloading"
    if is_unloaded and "unloaded" in states:
        return "unloaded"
    committed = states.get("committed")
    is_whole = bool(states) and "sending" not in states
    if source.startswith(FILE):
        # The end of a file is known when it was read to its end; its ranges then have all of its positions.
        is_whole = is_whole and committed is not None and committed[7] > 0 and committed[6] >= committed[8]
        return "complete" if is_whole else "interrupted"
    if is_whole and "unloaded" in states:
        return "partly unloaded"
    return "complete" if is_whole else "interrupted"


def _locks(client: Client) -> set[str]:
    """The locks of sources that are being written."""
    rows = client.query(
        "SELECT name, comment FROM system.tables "
        "WHERE database = currentDatabase() AND startsWith(name, 'lock_source_')"
    ).result_rows
    return {str(name) for name, comment in rows if is_alive(str(comment)) is not False}
