"""The sizes of a full run (minutes) and of a quick one (seconds)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One row of the table of inserts: batches of ``batch_rows`` readings with ``per_device`` of each device."""

    devices: int
    batch_rows: int
    per_device: int
    batches: int


@dataclass(frozen=True)
class Sizes:
    """Everything that decides how long a run takes."""

    cells: tuple[Cell, ...]
    cell_limit_s: float
    small_batch_rounds: int
    file_rows: int
    file_devices: int
    file_loads: int
    file_limit_s: float
    with_cambridge: bool
    many_files: int
    many_files_rows: int
    proof_day_readings: int
    proof_devices: int
    # Proofs are measured for each of these numbers of days: time may grow with it, memory must not.
    proof_days: tuple[int, ...]
    proof_runs: int
    # Each device sends a reading an hour.
    dashboard_devices: int
    dashboard_days: int
    dashboard_rounds: int
    dashboard_viewer_rounds: int
    demo_days: int
    demo_settings: tuple[tuple[str, str], ...] = ()


FULL = Sizes(
    cells=(
        Cell(10_000, 1_000, 1, 20),
        Cell(10_000, 100_000, 10, 8),
        Cell(10_000, 1_000_000, 100, 5),
        Cell(1_000_000, 1_000, 1, 20),
        Cell(1_000_000, 100_000, 10, 8),
        Cell(1_000_000, 1_000_000, 100, 5),
        Cell(1_000_000, 1_000_000, 1, 4),
    ),
    cell_limit_s=30,
    small_batch_rounds=40,
    file_rows=2_000_000,
    file_devices=1_000,
    file_loads=3,
    file_limit_s=30,
    with_cambridge=True,
    many_files=100,
    many_files_rows=16_747,
    proof_day_readings=1_000_000,
    proof_devices=10_000,
    proof_days=(3, 10, 30),
    proof_runs=2,
    dashboard_devices=10_000,
    dashboard_days=417,
    dashboard_rounds=40,
    dashboard_viewer_rounds=3,
    demo_days=30,
)

QUICK = Sizes(
    cells=(Cell(100, 100, 1, 2), Cell(2_000, 10_000, 10, 2)),
    cell_limit_s=10,
    small_batch_rounds=2,
    file_rows=20_000,
    file_devices=100,
    file_loads=1,
    file_limit_s=30,
    with_cambridge=False,
    many_files=4,
    many_files_rows=500,
    proof_day_readings=20_000,
    proof_devices=100,
    proof_days=(1, 2),
    proof_runs=1,
    dashboard_devices=50,
    dashboard_days=3,
    # At least four: the longer period takes a quarter of them.
    dashboard_rounds=4,
    dashboard_viewer_rounds=1,
    demo_days=1,
    demo_settings=(("IOT_SIMULATOR_DEVICES", "5"), ("IOT_SIMULATOR_INTERVAL_S", "900")),
)
