"""The results as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from iot_platform_tests.bench import dashboard, many_files, small_batches
from iot_platform_tests.bench.contestants import BARE, BOOK, MEANING
from iot_platform_tests.bench.dagster_runs import summary
from iot_platform_tests.bench.figures import text

PIPE_WIDTH = 200
# Keys of ``chain_against`` in the results, and what they compare.
RATIOS = {"cpu": "CPU", "cpu_with_merges": "CPU + merges", "wall": "time", "wall_with_merges": "time + merges"}


def show(results: dict[str, Any], console: Console | None = None) -> None:
    """Print a table for each measured part: median (minimum - maximum)."""
    out = console or Console()
    if not out.is_terminal and console is None:
        out = Console(width=PIPE_WIDTH)
    machine = results["machine"]
    out.print(
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_bytes'] / 1e9:.0f} GB, "
        f"Python {machine['python']}, ClickHouse {machine['clickhouse']}, "
        f"load average {machine['load_average'][0]:.1f} to {results['load_average_at_end'][0]:.1f}"
    )
    for name, part in (
        ("inserts", _inserts),
        ("small_batches", _small_batches),
        ("files", _files),
        ("many_files", _many_files),
        ("proofs", _proofs),
        ("dashboard", _dashboard),
        ("dagster", _dagster),
        ("demo", _demo),
    ):
        if name in results:
            part(out, results[name])
    for name, error in results["failed"].items():
        out.print(f"{name} failed: {error}", style="red", markup=False)


def _table(out: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def _dashboard(out: Console, part: dict[str, Any]) -> None:
    title = f"Tiles at {part['readings']:,} readings of {part['devices']:,} devices in {part['days']} days, ms"
    columns = ("period", "viewers", "tile", "p50", "p95", "DuckDB p50", "DuckDB p95", "ratio")
    _table(out, title, columns, dashboard.summary(part))


def _inserts(out: Console, cells: list[dict[str, Any]]) -> None:
    rates, cpu, ratios, disk = [], [], [], []
    for cell in cells:
        shape = [f"{cell['devices']:,}", f"{cell['batch_rows']:,}", str(cell["readings_per_device"])]
        rates.append([*shape, *(text(cell["rows_per_s"][name], between="\n") for name in MEANING)])
        cpu.append(
            [
                *shape,
                *(
                    f"{cell['cpu_us_per_row'][name]:,.3f}, {cell['cpu_us_per_row_with_merges'][name]:,.3f}"
                    for name in MEANING
                ),
            ]
        )
        found = cell["chain_against"]
        ratios.append([*shape, *(text(found[name][kind], 2, "\n") for name in (BARE, BOOK) for kind in RATIOS)])
        disk.append(
            [
                *shape,
                *(f"{cell['bytes_per_row'][name]:,.2f}, {cell['bytes_per_row_merged'][name]:,.2f}" for name in MEANING),
            ]
        )
    shape = ["devices", "batch", "per device"]
    _table(out, "Inserts, rows/s: median (min - max)", (*shape, *MEANING), rates)
    _table(out, "Inserts, CPU of the server, microseconds per row: insert, with merges", (*shape, *MEANING), cpu)
    columns = [f"chain / {name},\n{kind}" for name in ("bare", "textbook") for kind in RATIOS.values()]
    _table(out, "Inserts, speed of the chain, relative", (*shape, *columns), ratios)
    _table(out, "Inserts, bytes on disk per row in all tables: as inserted, merged", (*shape, *MEANING), disk)
    for name, meaning in MEANING.items():
        out.print(f"  {name}: {meaning}")


def _small_batches(out: Console, part: list[dict[str, Any]]) -> None:
    columns = ("rows", "batches in one insert", "ms per batch", "CPU of the server, ms per batch", "least")
    _table(out, "Batches through the writer, median", columns, small_batches.summary(part))


def _files(out: Console, files: list[dict[str, Any]]) -> None:
    rows = [
        (
            file["file"],
            f"{file['rows']:,}",
            f"{file['bytes'] / 1e6:,.1f}",
            text(file["rows_per_s"]),
            text(file["seconds"], 1),
            f"{file['peak_memory_bytes'] / 1e6:,.0f}",
        )
        for file in files
    ]
    columns = ("file", "rows", "MB", "rows/s", "seconds with start", "peak memory of the loader, MB")
    _table(out, "iot-platform load readings", columns, rows)


def _many_files(out: Console, part: dict[str, Any]) -> None:
    columns = ("files", "rows", "seconds with start, least", "rows/s", "peak memory, MB", "a file alone, s")
    _table(out, "One file per meter in one command", (*columns, "one by one (computed), s"), many_files.summary(part))


def _proofs(out: Console, proofs: dict[str, Any]) -> None:
    rows = [
        (
            f"prove --full, {step['days']} days",
            f"{step['readings']:,}",
            text(step["prove_seconds_per_10_million"], 1),
            f"{step['query_memory_bytes'] / 1e6:,.0f}",
            _layers(step["cpu_seconds_per_10_million"]),
            f"{sum(step['cpu_seconds_per_10_million'].values()):.2f}",
            f"{step['first_look_seconds']:.1f}",
        )
        for step in proofs["steps"]
    ]
    rebuild = proofs["rebuild"]
    rows.append(
        (
            "rebuild all",
            f"{proofs['steps'][-1]['readings']:,}",
            f"{proofs['rebuild_seconds_per_10_million']:,.1f}",
            f"{rebuild['query_memory_bytes'] / 1e6:,.0f}",
            _layers(rebuild["layer_seconds"]),
            "",
            "",
        )
    )
    columns = (
        "",
        "readings",
        "s per 10 million",
        "largest query, MB",
        "of the layers (rebuild: s; else CPU s per 10 million)",
        "CPU s, sum",
        "first look alone, s",
    )
    _table(out, f"iot-platform prove, {proofs['devices']:,} devices", columns, rows)


def _layers(seconds: dict[str, float]) -> str:
    return ", ".join(f"{layer} {value:.2f}" for layer, value in seconds.items())


def _dagster(out: Console, dagster: dict[str, Any]) -> None:
    for line in summary(dagster):
        out.print(line)


def _demo(out: Console, demo: dict[str, Any]) -> None:
    out.print(
        f"iot-platform demo --exit, {demo['days']} days, {demo['readings']:,} readings: {demo['seconds']:.1f} s "
        f"(proved: {'yes' if demo['proved'] else 'no'}, conserved: {'yes' if demo['conserved'] else 'no'})"
    )
