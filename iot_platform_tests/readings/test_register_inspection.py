"""What the inspection of a register shows is what its load stores, in whatever unit the file is."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from iot_platform.readings.files.column_mapping import FileOptions, convert
from iot_platform.readings.files.inspected import Inspected
from iot_platform.readings.files.open_readings import open_readings
from iot_platform.readings.files.registers import RegisterReader, readings_table
from iot_platform_tests.readings.formats.rows_of import inspect

# In kWh: a rise, jitter, a rise, a reset, a rise, and a fall that is neither.
TOTALS = [1000.0, 1000.5, 1000.45, 1001.0, 0.25, 1.0, 50.0, 48.0, 49.0]
ENERGY = 0.5 + 0.0 + 0.5 + 0.25 + 0.75 + 49.0 - 2.0 + 1.0


def register(path: Path, unit: str, kWh: float, *, column: bool, minutes: list[int] | None = None) -> Path:
    minutes = minutes or [30 * n for n in range(len(TOTALS))]
    header = "time,meter,value,unit" if column else f"time,meter,value ({unit}),x"
    lines = [
        f"2024-01-01T{minute // 60:02}:{minute % 60:02}:00Z,7,{total / kWh:.9f},{unit}"
        for minute, total in zip(minutes, TOTALS, strict=True)
    ]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def stored_energy(path: Path, found: Inspected) -> list[float]:
    mapping, reader = found.mapping, RegisterReader(found.mapping.conventions.interval_s)
    values: list[float] = []
    with closing(open_readings(path, FileOptions(register=True)).source) as source:
        for rows in source.rows(mapping.columns.names):
            times, _, energy = convert(rows, mapping)
            seconds = np.array(times.values.to_pylist(), dtype=np.int64)
            table = readings_table(seconds, np.full(len(seconds), 7), np.array(energy.values.to_pylist()))
            values += reader.intervals(table)["power_usage_kWh"].to_numpy().tolist()
    return values


@pytest.mark.parametrize(
    ("unit", "kWh"), [("kWh", 1.0), ("Wh", 1e-3), ("MWh", 1e3), ("GWh", 1e6), ("kJ", 1 / 3600), ("MJ", 1 / 3.6)]
)
@pytest.mark.parametrize("column", [False, True])
def test_the_inspection_shows_what_is_stored(tmp_path: Path, unit: str, kWh: float, column: bool) -> None:
    path = register(tmp_path / "r.csv", unit, kWh, column=column)
    found = inspect(path, register=True)
    inspection = found.inspection
    assert (inspection.unit, inspection.quantity) == (unit, "register")
    assert inspection.kWh == pytest.approx(ENERGY, rel=1e-6)
    assert inspection.kWh == pytest.approx(sum(stored_energy(path, found)))
    falls = [text for text in inspection.warnings if "falls" in text]
    assert falls == [
        "The register falls 3 times, 1 of them neither by a reset nor by jitter, such as that of meter 7 at "
        "2024-01-01T03:00:00Z: another meter, or an overflow? L2 puts the negative energy into quarantine."
    ]


def test_a_gap_is_noted_where_there_is_one(tmp_path: Path) -> None:
    whole = inspect(register(tmp_path / "a.csv", "kWh", 1.0, column=False), register=True)
    assert not any("After a gap" in text for text in whole.inspection.warnings)
    minutes = [30 * n for n in range(len(TOTALS))]
    minutes[-1] += 30
    gap = inspect(register(tmp_path / "b.csv", "kWh", 1.0, column=False, minutes=minutes), register=True)
    assert any("After a gap" in text for text in gap.inspection.warnings)
