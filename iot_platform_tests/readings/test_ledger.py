"""Which ranges are uncommitted, and how they are split."""

from __future__ import annotations

from typing import Literal

from hypothesis import example, given
from hypothesis import strategies as st

from iot_platform.readings.ledger import LedgerEntry, Range, split_ranges, uncommitted_ranges


@st.composite
def ledgers(draw: st.DrawFn) -> list[LedgerEntry]:
    bounds = sorted(draw(st.sets(st.integers(0, 60), max_size=14)))
    entries = []
    for start, stop in zip(bounds, bounds[1:], strict=False):
        state: Literal["committed", "sending"] | None = draw(st.sampled_from(["committed", "sending", None]))
        if state:
            entries.append(LedgerEntry(start, stop, state, token="t"))
    return entries


def positions(ranges: list[Range]) -> list[int]:
    return [position for start, stop in ranges for position in range(start, stop)]


# An empty range within a range that was sent.
@example([LedgerEntry(8, 10, "sending", token="t")], 9, 0, 1)
@given(ledgers(), st.integers(0, 60), st.integers(0, 60), st.integers(1, 20))
def test_uncommitted_ranges_and_their_parts(entries: list[LedgerEntry], start: int, length: int, size: int) -> None:
    stop = start + length
    found = uncommitted_ranges(entries, start, stop)
    sent = {entry.range for entry in entries if entry.state == "sending"}
    committed = {p for entry in entries if entry.state == "committed" for p in range(*entry.range)}
    in_flight = [r for r in sorted(sent) if r[0] < stop and r[1] > start]
    assert [part for part, was_sent in found if was_sent] == (in_flight if length else [])
    wanted = {p for p in range(start, stop) if p not in committed} | set(positions(in_flight if length else []))
    assert positions([part for part, _ in found]) == sorted(wanted)
    parts = list(split_ranges(found, size))
    assert positions(parts) == sorted(wanted)
    assert all(b - a <= size or (a, b) in sent for a, b in parts)
