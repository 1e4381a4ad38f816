"""Wide files whose columns name a unit, or have one name twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.open_readings import open_readings
from iot_platform_tests.readings.formats.rows_of import rows_of
from iot_platform_tests.readings.formats.test_wide import CLOCK, LONDON, USUAL, header, row, write


@pytest.mark.parametrize(
    ("unit", "kWh"), [("[mWh]", 1e-6), ("[MWh]", 1000.0), ("MWH", 1000.0), ("kwh", 1.0), ("(kWh/hh)", 1.0), ("", 1.0)]
)
def test_the_case_of_a_unit_counts(tmp_path: Path, unit: str, kWh: float) -> None:
    found = rows_of(write(tmp_path, header([f"{name} {unit}" for name in CLOCK]), row(USUAL, [1] * 48)))
    assert {value for _, _, value in found.readings} == {kWh}


def test_the_name_of_the_value_stays_that_of_older_loads(tmp_path: Path) -> None:
    """It is a part of the name of a source."""
    for unit, name in (("kWh", "interval_value (kWh)"), ("(kWh/hh)", "interval_value"), ("", "interval_value")):
        path = write(tmp_path, header([f"{clock} {unit}" for clock in CLOCK]), row(USUAL, [1] * 48))
        opened = open_readings(path, FileOptions())
        assert opened.header(FileOptions()).columns.value == name
        opened.source.close()


def test_an_unknown_unit_is_refused(tmp_path: Path) -> None:
    for unit in ("[therm]", "(mW)", "(MVAh)"):
        path = write(tmp_path, header([f"{name} {unit}" for name in CLOCK]), row(USUAL, [1] * 48))
        with pytest.raises(SourceError, match="is not a known unit. Set the unit with --unit"):
            rows_of(path)
        assert len(rows_of(path, unit="kWh").readings) == 48
    mixed = [f"{name} {'mWh' if index else 'MWh'}" for index, name in enumerate(CLOCK)]
    with pytest.raises(SourceError, match="several units: MWh, mWh. Set --unit"):
        rows_of(write(tmp_path, header(mixed), row(USUAL, [1] * 48)))
    with pytest.raises(SourceError, match="is in mWh, but --unit says kWh"):
        rows_of(write(tmp_path, header([f"{name} [mWh]" for name in CLOCK]), row(USUAL, [1] * 48)), unit="kWh")


def test_units_of_meters(tmp_path: Path) -> None:
    def columns(*names: str) -> Path:
        return write(tmp_path, ",".join(["time", *names]), ",".join(["2024-01-01 00:00", *["1"] * len(names)]))

    with pytest.raises(SourceError, match=r"several units: Wh, none.*--unit"):
        rows_of(columns("A (Wh)", "B"), wide="meters")
    with pytest.raises(SourceError, match=r"All meters end with '\(therm\)', which is not a known unit"):
        rows_of(columns("A (therm)", "B (therm)"), wide="meters")
    assert len(rows_of(columns("A (old)", "B (new)"), wide="meters").readings) == 2
    both = rows_of(columns("A (Wh)", "B (kWh)"), wide="meters", unit="Wh", override_unit=True)
    assert both.readings[0][2] == 0.001


def test_names_that_occur_twice_are_refused(tmp_path: Path) -> None:
    """They would both have the values of the first column."""
    autumn = "2024-10-27"
    twice = [*CLOCK[:4], *CLOCK[2:4], *CLOCK[4:]]
    for quote in ("", '"'):
        path = write(tmp_path, header(twice), row(autumn, [quote + str(n) + quote for n in range(50)]))
        with pytest.raises(SourceError, match=r"'01:00', '01:30' of the day occur twice.*such as '01:00.1'"):
            rows_of(path, timezone=LONDON)
    renamed = [*CLOCK[:4], "01:00.1", "01:30.1", *CLOCK[4:]]
    found = rows_of(write(tmp_path, header(renamed), row(autumn, list(range(50)))), timezone=LONDON)
    assert [value for _, _, value in found.readings] == [float(n) for n in range(50)]


def test_a_date_with_an_accent(tmp_path: Path) -> None:
    path = write(tmp_path, ",".join(["device_id", "Día", *CLOCK]), row(USUAL, [1] * 48))
    assert len(rows_of(path).readings) == 48
