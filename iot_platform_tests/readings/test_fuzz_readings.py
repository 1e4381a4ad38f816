"""Fuzzed readings: each is in exactly one of L2, quarantine, duplicates and the report of rejects, for its own reason.

IOT_FUZZ_ROWS=1000000 IOT_FUZZ_SEED=7 pytest iot_platform_tests/readings/test_fuzz_readings.py
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client

from iot_platform.cli.load import load
from iot_platform.layers.catalog import L2, RAW_TABLE
from iot_platform.layers.proof import prove_all
from iot_platform.layers.summary import summarize
from iot_platform.readings.files import csv_rows, parquet_rows
from iot_platform_tests.readings import fuzz_dress
from iot_platform_tests.readings.fuzz_dress import write_dressed
from iot_platform_tests.readings.fuzz_ndjson import write_ndjson
from iot_platform_tests.readings.fuzz_parquet import write_numbers, write_texts
from iot_platform_tests.readings.fuzz_rows import ACCEPTED, Row, write_csv

SEED = int(os.environ.get("IOT_FUZZ_SEED", "20260101"))
ROWS = int(os.environ.get("IOT_FUZZ_ROWS", "60000"))
SHARES = {"csv": 4, "dressed": 2, "texts": 1, "numbers": 1, "ndjson": 1}
WRITERS = {
    "csv": write_csv,
    "dressed": write_dressed,
    "texts": write_texts,
    "numbers": write_numbers,
    "ndjson": write_ndjson,
}
OPTIONS = {"dressed": fuzz_dress.OPTIONS}
SHOWN = 10

Places = dict[tuple[int, int], list[tuple[str, str]]]


@dataclass
class Outcome:
    """What a load has made of a file: its result, the reason of each rejected place, and readings by their key."""

    result: dict[str, object]
    rejects: dict[int, str]
    stored: Places = field(default_factory=lambda: defaultdict(list))


@pytest.mark.timeout(300 + ROWS // 1000)
@pytest.mark.parametrize("kind", WRITERS)
def test_every_row_is_in_exactly_one_place(
    platform: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    chance = Random(f"{SEED}/{kind}")
    # Small pieces, so that their ends cut through records; several batches, so that a key's readings lie in two.
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 1 << chance.choice((14, 16, 18, 23)))
    monkeypatch.setattr(parquet_rows, "ROWS_AT_ONCE", 5000)
    monkeypatch.setenv("IOT_BATCH_ROWS", str(max(5000, ROWS // 12)))
    path = tmp_path / f"readings.{kind}"
    count = ROWS * SHARES[kind] // sum(SHARES.values())
    rows = WRITERS[kind](path, chance, count, int(time.time()))
    outcome = load_by_command(platform, path, OPTIONS.get(kind, []))
    wrong = list(differences(rows, outcome))
    assert not wrong, f"seed {SEED}, {kind}: {len(wrong):,} rows, such as\n" + "\n".join(wrong[:SHOWN])
    assert_sums(platform, rows, outcome)


def load_by_command(client: Client, path: Path, options: list[str]) -> Outcome:
    report = path.with_suffix(".rejects.csv")
    arguments = ["readings", "--json", "--device-ids", "numeric", "--rejects", str(report), *options, str(path)]
    ended = CliRunner().invoke(load, arguments, catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    assert all(proof.is_equal for proof in prove_all(client))
    with report.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))[1:]
    rejects = {int(place): reason for place, reason, _ in lines}
    assert len(rejects) == len(lines)
    outcome = Outcome(json.loads(ended.stdout), rejects)
    for table, reason in (("l2_power_cleaned", f"'{ACCEPTED}'"), ("power_quarantine", "'refused: ' || reject_reason")):
        query = f"SELECT device_id, toUnixTimestamp(timestamp), {reason}, power_usage_kWh FROM {table}"
        for device, seconds, verdict, kWh in client.query(query).result_rows:
            outcome.stored[device, seconds].append((verdict, repr(kWh)))
    return outcome


def differences(rows: list[Row], outcome: Outcome) -> Iterator[str]:
    """Rows that are not just where they should be, in words; and what belongs to no row."""
    values = defaultdict(set)
    for row in rows:
        if row.verdict == ACCEPTED:
            values[row.key].add(repr(row.value + 0.0))  # L2 knows one zero
    for row in rows:
        found = outcome.stored.get(row.key, []) if row.key else []
        places = [verdict for verdict, _ in found]
        if row.place in outcome.rejects:
            places.append(f"rejected: {outcome.rejects[row.place]}")
        wrong_value = found and found[0][1] not in (values[row.key] if row.verdict == ACCEPTED else {repr(row.value)})
        if places != [row.verdict] or wrong_value:
            yield f"place {row.place}: {row.text!r} should be {row.verdict} {row.value!r}, is {places} {found}"
    if places_without_row := outcome.rejects.keys() - {row.place for row in rows}:
        yield f"rejects at places where no row begins: {sorted(places_without_row)[:SHOWN]}"
    if keys_without_row := outcome.stored.keys() - {row.key for row in rows}:
        yield f"readings that no row holds: {sorted(keys_without_row)[:SHOWN]}"


def assert_sums(client: Client, rows: list[Row], outcome: Outcome) -> None:
    verdicts = Counter(row.verdict for row in rows)
    rejected, refused = (
        {name.partition(": ")[2]: count for name, count in verdicts.items() if name.startswith(kind)}
        for kind in ("rejected", "refused")
    )
    cleaned = len({row.key for row in rows if row.verdict == ACCEPTED})
    duplicates = verdicts[ACCEPTED] - cleaned
    summary = summarize(client)
    assert (
        outcome.result["rows_read"]
        == len(rows)
        == cleaned + duplicates + sum(refused.values()) + sum(rejected.values())
    )
    assert outcome.result["rejected"] == rejected
    assert outcome.result["inserted"] == summary.layers[RAW_TABLE].rows == len(rows) - sum(rejected.values())
    assert summary.rejected == refused
    assert (summary.layers[L2.name].rows, summary.duplicates) == (cleaned, duplicates)
    assert summary.conserved and summary.proved
    assert duplicates and len(refused) == 7 and len(rejected) >= 5, "the fuzz has lost some of its kinds of rows"
