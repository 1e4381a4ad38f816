"""Take a load out of every layer.

Its readings are deleted from L1, and the days that had them are proved again, which rebuilds the later layers. First
its ranges become "unloading" in the ledger and its days unverified. So an unload that was killed at any moment is
completed when it is run again; until then nothing is written to its ranges, and no day passes for verified that is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.lock import server_lock
from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import IMPOSSIBLE_TIMES, L2, QUARANTINE, RAW_TABLE
from iot_platform.layers.comparison import Proof
from iot_platform.layers.invalidations import TABLE as INVALIDATIONS
from iot_platform.layers.invalidations import invalidation
from iot_platform.layers.kept_proofs import keep_other_proofs
from iot_platform.layers.partitions import in_partitions, table_state
from iot_platform.layers.proof import prove_all
from iot_platform.readings.ledger import LedgerEntry
from iot_platform.readings.loads import FILE, Load, batches_of
from iot_platform.readings.source_lease import source_lease

# Who writes a source keeps it for longer than this.
LOCK_WAIT_S = 2.0
_MUTATION_LOCK, _MUTATION_WAIT_S = "unload", 3600.0

# The entry that replaces another is newer by the least, so that whatever is written later is newer still.
_SET_STATE = """
INSERT INTO ingestion_ledger
SELECT * REPLACE ('{state}' AS state, recorded_at + toIntervalMicrosecond(1) AS recorded_at)
FROM (SELECT * FROM ingestion_ledger FINAL WHERE {where} AND state IN {{states:Array(String)}})
"""


@dataclass(frozen=True)
class Selection:
    """All of a load, or its batches from ``position_from`` to ``position_to``."""

    source: str
    position_from: int = -(2**63)
    position_to: int = 2**63 - 1

    # SQL over L1 and over the ledger.
    where = "source = {source:String} AND position_from >= {from:Int64} AND position_to <= {to:Int64}"

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of ``where``."""
        return {"source": self.source, "from": self.position_from, "to": self.position_to}

    def covers(self, entry: LedgerEntry) -> bool:
        """Whether all of a batch is selected."""
        return self.position_from <= entry.position_from and entry.position_to <= self.position_to

    def meets(self, entry: LedgerEntry) -> bool:
        """Whether any of a batch is selected."""
        return entry.position_from < self.position_to and self.position_from < entry.position_to


@dataclass(frozen=True)
class Contents:
    """What an unload takes out of L1. ``days``: partitions, oldest first; "0" holds impossible times.

    ``total_kWh``: without infinite values. ``uncovered``: readings of other loads that take the place of newer ones
    with the same meter and time.
    """

    batches: int
    readings: int
    # A sum of floats depends on their order.
    total_kWh: float = field(compare=False)
    meters: int
    days: tuple[str, ...]
    # Other loads go on meanwhile.
    uncovered: int = field(compare=False)


def contents(client: Client, selection: Selection) -> Contents:
    """What an unload of the selection takes. Raises PlatformError, with the way out, if it cannot be unloaded."""
    found = _in_l1(client, selection)
    entries = _selected(client, selection, is_in_l1=bool(found))
    _check_sources(entries, found)
    meters, kWh, days = client.query(
        "SELECT uniqExact(device_id), sumIf(power_usage_kWh, isFinite(power_usage_kWh)), groupUniqArray(_partition_id) "
        f"FROM {RAW_TABLE} WHERE {selection.where}",
        parameters=selection.parameters,
    ).result_rows[0]
    partitions = tuple(sorted(map(str, days), key=int))
    uncovered = _count_uncovered(client, selection, partitions)
    batches = len({entry.range for entry in entries} | found.keys())
    return Contents(batches, sum(found.values()), float(kWh), int(meters), partitions, uncovered)


def unload(client: Client, load: Load, selection: Selection, expected: Contents | None = None) -> list[Proof]:
    """Take the selection out of every layer; returns the proofs of its days.

    ``expected``: what was shown to the user. Raises PlatformError, without changing anything, if the load is being
    written, has other contents than that, or cannot be unloaded; and ProofError if its readings are deleted, but a day
    cannot be proved: run it again then.
    """
    with _held(client, load):
        found = contents(client, selection)
        if expected is not None and found != expected:
            raise PlatformError(f"Load {load.id} has changed meanwhile. Nothing was unloaded; look at it again.")
        _set_state(client, selection, "unloading", ["committed", "sending"])
        reason = f"Unload of {load.source}"
        if found.readings:
            _delete(client, selection, found.days, reason)
        days = sorted({*found.days, *_invalidated(client, reason)}, key=int)
        proofs = list(prove_all(client, days, only_unverified=True))
        _set_state(client, selection, "unloaded", ["unloading"])
    return proofs


@contextmanager
def _held(client: Client, load: Load) -> Iterator[None]:
    with ExitStack() as stack:
        lease = source_lease(client, load.source, load.description, uuid4().hex, wait_s=LOCK_WAIT_S)
        try:
            stack.enter_context(lease)
        except PlatformError as error:
            raise PlatformError(
                f"Load {load.id} is being written. Nothing was unloaded. Wait for the end, or stop who writes it "
                f"(of a stream: `iot-platform ingest`), then try again. {error}"
            ) from error
        yield


def _selected(client: Client, selection: Selection, *, is_in_l1: bool) -> list[LedgerEntry]:
    """The batches of a selection that are not unloaded yet. (Of a load that was killed, the ledger may lack some.)"""
    entries = [entry for entry in batches_of(client, selection.source) if entry.state != "unloaded"]
    if cut := next((entry for entry in entries if selection.meets(entry) and not selection.covers(entry)), None):
        raise PlatformError(
            f"The selection has only a part of the batch with the positions {cut.position_from} to {cut.position_to}. "
            "Nothing was unloaded: give positions at which batches begin and end (`iot-platform loads ID` lists them)."
        )
    if left := [entry for entry in entries if entry.state == "unloading" and not selection.covers(entry)]:
        raise PlatformError(
            f"An unload of the positions {left[0].position_from} to {left[-1].position_to} was interrupted. Nothing "
            "was unloaded now: complete that one first, with --from and --to."
        )
    selected = [entry for entry in entries if selection.covers(entry)]
    if not selected and not is_in_l1:
        raise PlatformError("There is nothing to unload: the layers have no readings of this load or these positions.")
    return selected


def _in_l1(client: Client, selection: Selection) -> dict[tuple[int, int], int]:
    rows = client.query(
        f"SELECT position_from, position_to, count() FROM {RAW_TABLE} WHERE {selection.where} "
        "GROUP BY position_from, position_to",
        parameters=selection.parameters,
    ).result_rows
    return {(int(start), int(stop)): int(count) for start, stop, count in rows}


def _check_sources(entries: Sequence[LedgerEntry], found: dict[tuple[int, int], int]) -> None:
    lacking = [entry for entry in entries if entry.state == "committed" and found.get(entry.range, 0) < entry.readings]
    if lacking:
        unknown = sum(entry.readings - found.get(entry.range, 0) for entry in lacking)
        raise PlatformError(
            f"{unknown:,} readings of this load have no source in L1: they arrived before the migration "
            "091_ledger_in_the_insert, which added it, or were deleted by hand. So it is not known which readings they "
            "are, and nothing was unloaded. Way out: correct them by loading the right values for the same meters and "
            "times; the newest arrival counts. Or load everything into a new home."
        )


def _count_uncovered(client: Client, selection: Selection, partitions: Sequence[str]) -> int:
    if not partitions:
        return 0
    rows = client.query(
        "SELECT count() FROM (SELECT argMax(is_own, (ingested_at, power_usage_kWh)) AS is_newest, "
        f"countIf(NOT is_own) AS others FROM (SELECT device_id, timestamp, ingested_at, power_usage_kWh, "
        f"{selection.where} AS is_own FROM {RAW_TABLE} WHERE {in_partitions(partitions)} AND reject_reason = '') "
        "GROUP BY device_id, timestamp HAVING is_newest AND others > 0)",
        parameters=selection.parameters,
        settings={"optimize_aggregation_in_order": 1},
    ).result_rows
    return int(rows[0][0])


def _delete(client: Client, selection: Selection, days: Sequence[str], reason: str) -> None:
    """Delete the selection from L1. Its days are unverified before it begins."""
    # Both: L2 has lost valid readings, the quarantine others. The later layers follow when these are rebuilt.
    possible = [day for day in days if day != IMPOSSIBLE_TIMES]
    with (
        server_lock(client, _MUTATION_LOCK, wait_s=_MUTATION_WAIT_S),
        invalidation(client, {L2: possible, QUARANTINE: days}, reason),
    ):
        before = table_state(client, RAW_TABLE)
        client.command(
            f"ALTER TABLE {RAW_TABLE} DELETE WHERE {selection.where}",
            parameters=selection.parameters,
            settings={"mutations_sync": 2},
        )
        keep_other_proofs(client, before, days)


def _invalidated(client: Client, reason: str) -> set[str]:
    """The days of this unload, also of an earlier attempt that was killed."""
    rows = client.query(
        f"SELECT DISTINCT partition_id FROM {INVALIDATIONS} WHERE reason = {{reason:String}} AND partition_id != ''",
        parameters={"reason": reason},
    ).result_rows
    return {str(row[0]) for row in rows}


def _set_state(client: Client, selection: Selection, state: str, instead_of: Sequence[str]) -> None:
    client.command(
        _SET_STATE.format(state=state, where=selection.where),
        parameters={**selection.parameters, "states": list(instead_of)},
    )


def selection_of(load: Load, position_from: int | None, position_to: int | None) -> Selection:
    """The selection of a load, from bounds that may be missing. Raises PlatformError for a part of a file."""
    if position_from is None and position_to is None:
        return Selection(load.source)
    if load.source.startswith(FILE):
        raise PlatformError("A file is unloaded as a whole: --from and --to are for streams and simulated meters.")
    whole = Selection(load.source)
    return Selection(
        load.source,
        whole.position_from if position_from is None else position_from,
        whole.position_to if position_to is None else position_to,
    )
