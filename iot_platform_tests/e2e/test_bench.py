"""The benchmark measures what it claims to measure. The figures themselves are not tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from iot_platform.layers.catalog import DERIVED_LAYERS
from iot_platform.looker.project import load_project
from iot_platform_tests.bench.contestants import BARE, BOOK, MEANING
from iot_platform_tests.bench.dashboard_duckdb import QUESTIONS
from iot_platform_tests.bench.report import RATIOS
from iot_platform_tests.bench.sizes import QUICK

TIMEOUT_S = 600
PARTS = ("inserts", "small_batches", "files", "many_files", "proofs", "dashboard")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which the benchmark runs, with its temporary files."""
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def results(directory: Path) -> dict[str, Any]:
    """The results of a quick run without the demo, which has its own tests."""
    parts = [word for part in PARTS for word in ("--only", part)]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "iot_platform_tests.bench",
            "--quick",
            *parts,
            "--json",
            str(directory / "results.json"),
        ],
        env={**os.environ, "TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert all(part in done.stdout for part in ("chain / textbook", "prove", "usage_over_time"))
    found: dict[str, Any] = json.loads((directory / "results.json").read_text())
    return found


def test_every_contestant_has_inserted_every_batch(results: dict[str, Any]) -> None:
    cells = results["inserts"]
    assert [(cell["devices"], cell["batch_rows"]) for cell in cells] == [(c.devices, c.batch_rows) for c in QUICK.cells]
    for cell, asked in zip(cells, QUICK.cells, strict=True):
        assert list(cell["seconds"]) == list(MEANING)
        for name, seconds in cell["seconds"].items():
            assert len(seconds) == asked.batches and min(seconds) > 0
            rates = cell["rows_per_s"][name]
            assert 0 < rates["min"] <= rates["median"] <= rates["max"]
            assert rates["max"] == pytest.approx(asked.batch_rows / min(seconds))
        for figures in ("cpu_us_per_row", "bytes_per_row", "bytes_per_row_merged"):
            assert cell[figures].keys() == MEANING.keys() and min(cell[figures].values()) > 0
        with_merges = cell["cpu_us_per_row_with_merges"]
        assert all(with_merges[name] > cpu for name, cpu in cell["cpu_us_per_row"].items())
        assert cell["chain_against"].keys() == {BARE, BOOK}
        for ratios in cell["chain_against"].values():
            assert ratios.keys() == RATIOS.keys() and all(found["median"] > 0 for found in ratios.values())


def test_small_batches_are_written_alone_and_together(results: dict[str, Any]) -> None:
    found = results["small_batches"]
    assert [(each["rows"], each["sources"]) for each in found] == [(1_000, 1), (1_000, 10), (1, 1), (1, 10)]
    for each in found:
        assert each["ms"] > 0 and each["cpu_ms"] >= each["least_cpu_ms"] > 0


def test_every_tile_is_answered_by_both_engines(results: dict[str, Any]) -> None:
    for by_viewers in results["dashboard"]["milliseconds"].values():
        for engines in by_viewers.values():
            for tiles in engines.values():
                assert tiles.keys() == QUESTIONS.keys()
                assert all(0 < tile["p50"] <= tile["p95"] for tile in tiles.values())


def test_the_questions_are_the_tiles_of_the_dashboard() -> None:
    assert QUESTIONS.keys() == {tile.name for tile in load_project().dashboards["power_overview"].tiles}


def test_files_are_loaded_completely_in_a_separate_process(results: dict[str, Any]) -> None:
    files = {file["file"]: file for file in results["files"]}
    assert files.keys() == {"generated parquet", "generated csv"}
    for file in files.values():
        assert file["rows"] == file["inserted"] == QUICK.file_rows
        assert file["rows_per_s"]["median"] > 0 and file["seconds"]["median"] > 0
        # The memory of an interpreter with Arrow, without the engine.
        assert 30e6 < file["peak_memory_bytes"] < 2e9


def test_many_files_are_loaded_together_and_one_by_one(results: dict[str, Any]) -> None:
    found = results["many_files"]
    assert found["files"] == QUICK.many_files
    assert found["inserted"] == found["rows"] == QUICK.many_files * QUICK.many_files_rows
    assert found["seconds_one_by_one"] > found["seconds"] > 0
    assert 30e6 < found["peak_memory_bytes"] < 2e9


def test_proofs_cover_every_layer(results: dict[str, Any]) -> None:
    proofs = results["proofs"]
    assert [step["readings"] for step in proofs["steps"]] == [
        days * QUICK.proof_day_readings for days in QUICK.proof_days
    ]
    for step in proofs["steps"]:
        assert step["prove_seconds_per_10_million"]["median"] > 0 and step["first_look_seconds"] > 0
        assert step["query_memory_bytes"] > 0
        cpu = step["cpu_seconds_per_10_million"]
        assert cpu.keys() == {layer.name for layer in DERIVED_LAYERS} and min(cpu.values()) > 0
    assert proofs["rebuild_seconds_per_10_million"] > 0
    layers = {layer.name for layer in DERIVED_LAYERS}
    for run in (*(run for step in proofs["steps"] for run in step["prove"]), proofs["rebuild"]):
        assert run["layer_seconds"].keys() == layers and min(run["layer_seconds"].values()) > 0


def test_the_machine_is_described(results: dict[str, Any]) -> None:
    machine = results["machine"]
    assert machine["cores"] > 0 and machine["memory_bytes"] > 0
    assert machine["clickhouse"].split(".")[0].isdigit() and machine["python"].startswith("3.")
    assert results["quick"] is True and results["failed"] == {} and results["seconds"] > 0


def test_no_files_and_processes_are_left(results: dict[str, Any], directory: Path) -> None:
    assert [path.name for path in directory.iterdir()] == ["results.json"]
    left = [process.pid for process in psutil.process_iter() if _mentions(process, directory)]
    assert left == []


def _mentions(process: psutil.Process, directory: Path) -> bool:
    try:
        return str(process.environ().get("IOT_HOME", "")).startswith(str(directory))
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return False
