"""Green Button files: what each reading is, by the links of the feed."""

from __future__ import annotations

from pathlib import Path

import pytest

from iot_platform.errors import SourceError
from iot_platform_tests.readings.formats.rows_of import rows_of

START = 1293868800
CUSTOMER = "https://data.example.com/espi/1_1/resource/RetailCustomer/9b6c"


def entry(own: str, resource: str, *related: str, links_last: bool = False) -> str:
    links = f'<link rel="self" href="{CUSTOMER}/{own}"/>'
    links += "".join(f'<link rel="related" href="{CUSTOMER}/{link}"/>' for link in related)
    content = f"<content>{resource}</content>"
    return f"<entry>{content + links if links_last else links + content}</entry>"


def element(name: str, **fields: object) -> str:
    texts = "".join(f"<{field}>{value}</{field}>" for field, value in fields.items())
    return f'<{name} xmlns="http://naesb.org/espi">{texts}</{name}>'


def block(reading: str, values: list[str], *, first: int = START, seconds: int = 900, links_last: bool = False) -> str:
    intervals = "".join(
        f"<IntervalReading>{value}<timePeriod><duration>{seconds}</duration><start>{first + n * seconds}</start>"
        "</timePeriod></IntervalReading>"
        for n, value in enumerate(values)
    )
    interval = f"<interval><duration>86400</duration><start>{first}</start></interval>"
    return entry(
        f"{reading}/IntervalBlock/{first}", element("IntervalBlock").replace("><", f">{interval}{intervals}<"),
        links_last=links_last,
    )  # fmt: skip


def series(name: str, **reading_type: object) -> str:
    found = {"uom": 72, "flowDirection": 1, "powerOfTenMultiplier": 0, "accumulationBehaviour": 4, **reading_type}
    return entry(f"UsagePoint/01/MeterReading/{name}", element("MeterReading"), f"ReadingType/{name}") + entry(
        f"ReadingType/{name}", element("ReadingType", **found)
    )


POINT = entry(
    "UsagePoint/01",
    '<UsagePoint xmlns="http://naesb.org/espi"><ServiceCategory><kind>0</kind></ServiceCategory></UsagePoint>',
)


def value(number: object) -> str:
    return f"<value>{number}</value>"


def write(tmp_path: Path, *entries: str) -> Path:
    path = tmp_path / "feed.xml"
    path.write_text(
        f'<?xml version="1.0"?>\n<feed xmlns="http://www.w3.org/2005/Atom">{"".join(entries)}</feed>', encoding="utf-8"
    )
    return path


@pytest.mark.parametrize("links_last", [False, True])
def test_readings_by_their_type(tmp_path: Path, links_last: bool) -> None:
    blocks = [
        block("UsagePoint/01/MeterReading/a", [value(703), value("8.5")], links_last=links_last),
        block("UsagePoint/01/MeterReading/b", [value(1)], links_last=links_last),
        block("UsagePoint/01/MeterReading/a", [value(-2)], first=START + 86400, links_last=links_last),
    ]
    # The reading types may come after the readings.
    found = rows_of(
        write(tmp_path, POINT, *blocks, series("a", powerOfTenMultiplier=-1), series("b", flowDirection=19))
    )
    meter = "RetailCustomer/9b6c/UsagePoint/01"
    assert found.readings == [(START, meter, 0.0703), (START + 900, meter, 0.00085), (START + 86400, meter, -0.0002)]
    assert found.places == [1, 2, 4]
    assert found.format.notes() == ["1 readings were left out: energy that was fed in (reverse)."]


@pytest.mark.parametrize(
    ("reading_type", "reason"),
    [
        ({"uom": 38}, r"another quantity than Wh \(uom 38\)"),
        ({"flowDirection": 4}, "net energy"),
        ({"accumulationBehaviour": 3}, "totals of a register"),
    ],
)
def test_what_is_no_usage(tmp_path: Path, reading_type: dict[str, object], reason: str) -> None:
    path = write(tmp_path, POINT, series("a", **reading_type), block("UsagePoint/01/MeterReading/a", [value(1)]))
    with pytest.raises(SourceError, match=f"no reading is usage of electricity in Wh: {reason}"):
        rows_of(path)


def test_two_series_of_a_meter_are_refused(tmp_path: Path) -> None:
    blocks = [block(f"UsagePoint/01/MeterReading/{name}", [value(1)]) for name in "ab"]
    path = write(tmp_path, POINT, series("a"), series("b"), *blocks)
    with pytest.raises(SourceError, match="has 2 series of usage.*may be the same energy"):
        rows_of(path)
    # As are two meters that would become one.
    other = block("UsagePoint/02/MeterReading/a", [value(1)])
    with pytest.raises(SourceError, match="meter M has 2 series"):
        rows_of(write(tmp_path, POINT, series("a"), blocks[0], other), device="M", unit="Wh")


def test_a_file_without_meter_and_unit(tmp_path: Path) -> None:
    """The case l_xml: one block alone."""
    path = write(tmp_path, block("", [value(122)]))
    with pytest.raises(SourceError, match="but no UsagePoint.*--device.*no ReadingType.*--unit Wh"):
        rows_of(path)
    assert rows_of(path, device="M1", unit="Wh").readings == [(START, "M1", 0.122)]
    typed = write(tmp_path, POINT, series("a"), block("UsagePoint/01/MeterReading/a", [value(1)]))
    with pytest.raises(SourceError, match="the unit is Wh, by the ReadingType"):
        rows_of(typed, unit="kWh")
    assert rows_of(typed, device="M1").readings == [(START, "M1", 0.001)]


def test_bad_readings_and_qualities(tmp_path: Path) -> None:
    values = [value("x"), "", value(5) + "<ReadingQuality><quality>8</quality></ReadingQuality>", value("1E999")]
    found = rows_of(write(tmp_path, POINT, series("a"), block("UsagePoint/01/MeterReading/a", values)))
    assert found.rejects == [(1, "unreadable_value"), (2, "missing_value")]
    assert found.format.notes() == ["1 values are estimated by a day of reference."]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '<!DOCTYPE feed [<!ENTITY a "x">]><feed xmlns:e="http://naesb.org/espi">&a;</feed>',
            "declares a document type",
        ),
        ('<feed xmlns:e="http://naesb.org/espi"><entry>', "the XML is damaged"),
        ('<feed xmlns:e="http://naesb.org/espi"/>', "has no IntervalReading"),
    ],
)
def test_xml_that_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "feed.xml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SourceError, match=message):
        rows_of(path)
