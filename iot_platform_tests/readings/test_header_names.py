"""Columns are recognized in several languages; what was unambiguous before a new name stays so."""

from __future__ import annotations

import pyarrow as pa
import pytest

from iot_platform.errors import SourceError
from iot_platform.readings.files.columns import Header, read_header
from iot_platform.readings.files.date_and_time import DateAndTime, find_date_and_time
from iot_platform.readings.files.header_names import all_names, normal, tiers
from iot_platform.readings.files.month_names import month_numbers


def header_of(*names: str, device: str | None = None) -> Header:
    return read_header(names, timestamp=None, device=device, value=None, unit=None)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Zeitstempel", "Zählpunkt", "Verbrauch (kWh)"), ("Zeitstempel", "Zählpunkt", "Verbrauch (kWh)", "kWh")),
        (("ZAEHLPUNKT", "Datum von", "Datum bis", "Wert"), ("Datum von", "ZAEHLPUNKT", "Wert", "kWh")),
        (("Horodate", "PRM", "Énergie [Wh]"), ("Horodate", "PRM", "Énergie [Wh]", "Wh")),
        (("CUPS", "Fecha y hora", "Consumo_kWh"), ("Fecha y hora", "CUPS", "Consumo_kWh", "kWh")),
        (("POD", "Data e ora", "Energia attiva"), ("Data e ora", "POD", "Energia attiva", "kWh")),
        (("EAN-code", "Tijdstip", "Verbruik kWh"), ("Tijdstip", "EAN-code", "Verbruik kWh", "kWh")),
        (("CPE", "Data/hora", "Potência (kW)"), ("Data/hora", "CPE", "Potência (kW)", "kW")),
        (("Nr licznika", "Data i czas", "Zużycie [kWh]"), ("Data i czas", "Nr licznika", "Zużycie [kWh]", "kWh")),
        (("Date", "MPAN", "Consumption (kWh)"), ("Date", "MPAN", "Consumption (kWh)", "kWh")),
        (
            ("Messzeitpunkt", "Zählpunkt", "Gemessener Verbrauch (kWh)", "Ersatzwert", ""),
            ("Messzeitpunkt", "Zählpunkt", "Gemessener Verbrauch (kWh)", "kWh"),
        ),
        (
            ("Datum und Uhrzeit", "Zählpunkt", "Lastgänge (306,499 kWh)", "Status"),
            ("Datum und Uhrzeit", "Zählpunkt", "Lastgänge (306,499 kWh)", "kWh"),
        ),
        (
            ("Ende Ablesezeitraum", "Zählpunkt", "Wohnung - AT0010 (0000) - Verbrauch [kWh]"),
            ("Ende Ablesezeitraum", "Zählpunkt", "Wohnung - AT0010 (0000) - Verbrauch [kWh]", "kWh"),
        ),
        (
            ("Start", "Ende", "Zählpunkt", "Vorschub (kWh) - Verbrauch", "Zählerstand (kWh) - Verbrauch"),
            ("Start", "Zählpunkt", "Vorschub (kWh) - Verbrauch", "kWh"),
        ),
        (
            ("Statistikzeitraum Beginn", "Statistikzeitraum Ende", "Zaehlpunkt", "Wert", "Einheit"),
            ("Statistikzeitraum Beginn", "Zaehlpunkt", "Wert", "kWh"),
        ),
        # Names that were known before the languages count first.
        (("time", "Zeit", "device", "Zähler", "energy", "Verbrauch"), ("time", "device", "energy", "kWh")),
    ],
)
def test_columns_in_several_languages(names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    columns = header_of(*names).columns
    assert (columns.timestamp, columns.device, columns.value, columns.unit) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("Zeit", "Zeitstempel", "Zähler", "Wert"),
            "Several columns may be the time; set it with --timestamp-column, or",
        ),
        (("Zeit", "Zähler", "Verbrauch", "Bezug"), "Several columns may be the energy; set it with --value-column"),
        (("Zeit", "Wert"), "set it with --device-column, .*--device or --device-from-name"),
        # Power without a unit would be taken for kWh.
        (("Zeit", "Zähler", "Leistung"), "No column is recognized as the energy"),
        (("Fecha", "Periodo", "CUPS", "Consumo"), "'Fecha' has the date, and column 'Periodo' may tell the intervals"),
    ],
)
def test_what_is_not_certain_is_asked(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        header_of(*names)


def test_the_end_of_an_interval_by_its_name() -> None:
    assert header_of("bis", "Zähler", "Wert").stamp == "end"
    assert header_of("Messzeitpunkt", "Zähler", "Wert").stamp == "end"
    assert header_of("Datum von", "Datum bis", "Zähler", "Wert").stamp == "start"
    assert not all_names("end") & all_names("time")


def test_every_name_is_found_as_it_is_written() -> None:
    assert normal("Zählpunkt-Nr. (ID)") == "zahlpunkt_nr_id"
    assert normal("ŁÓDŹ Ø ß") == "lodz_o_ss"
    assert {"zahler", "zaehler"} <= tiers("meter")[2]


def test_months_in_several_languages() -> None:
    names = ["Jan", "MÄRZ", "mar", "maerz", "août", "aout", "Ago", "grudnia", "mei", "Sept", "foo"]
    expected = ["01", "03", "03", "03", "08", "08", "08", "12", "05", "09", None]
    assert month_numbers(pa.array(names)).to_pylist() == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("TYPE", "DATE", "START TIME", "END TIME", "USAGE"), DateAndTime("DATE", "START TIME", False, False)),
        (("Datum", "Uhrzeit", "Verbrauch"), DateAndTime("Datum", "Uhrzeit", False, False)),
        (("Datum", "Zeit bis", "Verbrauch"), DateAndTime("Datum", "Zeit bis", True, False)),
        (("Fecha", "Hora", "Consumo"), DateAndTime("Fecha", "Hora", False, False)),
        (("Datum von", "Zeit von", "Datum bis", "Zeit bis"), DateAndTime("Datum von", "Zeit von", False, False)),
        (("Start Date", "Start Time", "End Date", "End Time"), DateAndTime("Start Date", "Start Time", False, False)),
        (("timestamp", "date", "time", "kwh"), None),
        (("date", "kwh"), None),
        (("date", "von", "zeit", "kwh"), None),
    ],
)
def test_a_date_and_a_time_of_day_by_their_names(names: tuple[str, ...], expected: DateAndTime | None) -> None:
    assert find_date_and_time(names, None, None) == expected
