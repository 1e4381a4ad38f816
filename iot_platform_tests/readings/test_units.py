"""Units in headers and texts."""

from __future__ import annotations

import pyarrow as pa
import pytest

from iot_platform.errors import SourceError
from iot_platform.readings.files.columns import read_header
from iot_platform.readings.files.units import TABLE, UNITS, find_unit, to_base, unit_of_header


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("mWh", "mWh"),
        ("mwh", "MWh"),
        ("MWH", "MWh"),
        ("k Wh", "kWh"),
        ("KWh", "kWh"),
        ("Kwh", "kWh"),
        ("Mwh", "MWh"),
        ("kilowatt-hours", "kWh"),
        ("Watts", "W"),
        ("kva", "kVA"),
        ("m3", "m3"),
        ("mWH", None),
        ("units", None),
    ],
)
def test_a_text_names_a_unit(text: str, symbol: str | None) -> None:
    found = find_unit(text)
    assert (found.symbol if found else None) == symbol


@pytest.mark.parametrize(
    ("header", "symbol"),
    [
        ("Demand (kW)", "kW"),
        ("Power (W)", "W"),
        ("power_w", "W"),
        ("Energy (MJ)", "MJ"),
        ("Energy [k Wh]", "kWh"),
        ("energy_k_wh", "kWh"),
        ("Energy (mWh)", "mWh"),
        ("energy_mwh", "MWh"),
        ("kVAh", "kVAh"),
        ("KWH/hh (per half hour) ", "kWh"),
        ("Consumption (kWh/hh)", "kWh"),
        ("Verbrauch in kWh", "kWh"),
        ("Energy kilowatt hours", "kWh"),
        ("phase_a_kWh", "kWh"),
        ("usage_a", None),
        ("reading", None),
    ],
)
def test_a_header_names_a_unit(header: str, symbol: str | None) -> None:
    found = unit_of_header(header)
    assert (found.symbol if found else None) == symbol


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Energy (import)", "'import' is not a known unit. Set the unit with --unit"),
        ("Intensity (kWh/m2)", "'kWh/m2' is not a known unit"),
        ("Energy (kWh) (MJ)", "several units: kWh, MJ"),
    ],
)
def test_an_unclear_header_is_refused(header: str, message: str) -> None:
    with pytest.raises(SourceError, match=message.replace("(", r"\(")):
        unit_of_header(header)


def test_the_values_of_all_units() -> None:
    kWh = {symbol: to_base(pa.array([3.6]), symbol)[0].as_py() for symbol in UNITS}
    expected = {"mWh": 3.6e-6, "Wh": 3.6e-3, "kWh": 3.6, "MWh": 3600.0, "GWh": 3.6e6}
    expected |= {"J": 1e-6, "kJ": 1e-3, "MJ": 1.0, "GJ": 1000.0, "W": 3.6e-3, "kW": 3.6, "MW": 3600.0}
    assert kWh == pytest.approx(expected, rel=1e-15)
    assert set(expected) == {unit.symbol for unit in TABLE.values() if unit.quantity != "other"}


def unit_of(header: str, unit: str | None = None, *, override: bool = False) -> tuple[str, str]:
    names = ["time", "device_id", header]
    found = read_header(names, timestamp=None, device=None, value=header, unit=unit, override_unit=override)
    return found.columns.unit, found.unit_from


def test_where_the_unit_is_known_from() -> None:
    assert unit_of("amount") == ("kWh", "assumed")
    assert unit_of("amount", "Wh") == ("Wh", "given")
    assert unit_of("amount (MJ)") == ("MJ", "column's name")
    assert unit_of("Energy (import)", "MWh") == ("MWh", "given")
    assert unit_of("kVAh", "kWh", override=True) == ("kWh", "given")


def test_contradictions_and_other_quantities_are_refused() -> None:
    with pytest.raises(SourceError, match="'Demand .kW.', by its name, is in kW, but --unit says kWh.*--override-unit"):
        unit_of("Demand (kW)", "kWh")
    with pytest.raises(SourceError, match="'kVAh' is in kVAh, which is apparent energy, not energy.*--value-column"):
        unit_of("kVAh")
