"""Workbooks: the sheet with the readings, its header, typed cells, and bounds."""

from __future__ import annotations

import datetime as dt
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from iot_platform.devices.meter_ids import refuse_scientific
from iot_platform.errors import SourceError
from iot_platform.readings.files.open_file import open_row_source
from iot_platform.readings.formats import workbook_size
from iot_platform_tests.readings.formats.rows_of import rows_of

START = 1704067200
HEADER = ("timestamp", "device_id", "kwh")


def workbook(path: Path, **sheets: list[tuple[Any, ...]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def half_hour(number: int) -> dt.datetime:
    return dt.datetime(2024, 1, 1) + dt.timedelta(minutes=30 * number)


def test_typed_cells_below_a_preamble(tmp_path: Path) -> None:
    rows: list[tuple[Any, ...]] = [("Customer", "A B"), ("Meter", 123), (), HEADER]
    rows += [(half_hour(n), 426, n / 10) for n in range(3)]
    rows += [(), (half_hour(3), "x1", "0.75"), ("Total", None, 5)]
    path = workbook(tmp_path / "r.xlsx", Notes=[("Read", "me")], Data=rows)
    found = rows_of(path)
    assert found.readings == [
        (START, "426", 0.0),
        (START + 1800, "426", 0.1),
        (START + 3600, "426", 0.2),
        (START + 5400, "x1", 0.75),
    ]
    # As a spreadsheet numbers its rows.
    assert found.places == [5, 6, 7, 9]
    assert found.rejects == [(10, "unreadable_time")]
    assert found.format.name == "xlsx, sheet 'Data', header in row 4"


def test_texts_as_in_csv(tmp_path: Path) -> None:
    rows: list[tuple[Any, ...]] = [HEADER, *((f"2024-01-01 00:{n}0:00", 426, 0.1 * n) for n in range(3))]
    assert len(rows_of(workbook(tmp_path / "r.xlsx", S=rows)).readings) == 3


def test_several_sheets(tmp_path: Path) -> None:
    months = {name: [HEADER, (half_hour(0), meter, 1)] for name, meter in (("Jan", 1), ("Feb", 2))}
    path = workbook(tmp_path / "r.xlsx", **months)
    first, second = rows_of(path), rows_of(path, sheet="Feb")
    assert (first.readings[0][1], second.readings[0][1]) == ("1", "2")
    assert first.format.notes() == ["Other sheets may have readings, too: 'Feb'. Load them with --sheet."]
    assert first.format.key != second.format.key
    with pytest.raises(SourceError, match="no sheet 'Mar' .--sheet.. Sheets: 'Jan', 'Feb'"):
        rows_of(path, sheet="Mar")


def test_an_id_that_a_spreadsheet_has_cut_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "r.xlsx", S=[HEADER, (half_hour(0), 1234567890123456789, 1)])
    [rows] = open_row_source(path).rows(["device_id"])
    with pytest.raises(SourceError, match="scientific"):
        refuse_scientific(rows.columns["device_id"], str)


def test_a_wide_sheet(tmp_path: Path) -> None:
    hours = [dt.time(hour) for hour in range(24)]
    path = workbook(tmp_path / "r.xlsx", S=[("Meter", "Date", *hours), (7, dt.date(2024, 1, 1), *range(24))])
    assert rows_of(path).readings == [(START + hour * 3600, "7", float(hour)) for hour in range(24)]


def ods(path: Path, repeated: int = 1) -> Path:
    """A spreadsheet of LibreOffice: blank rows are repeated to the end of the sheet."""
    names = "".join(f"<table:table-cell><text:p>{name}</text:p></table:table-cell>" for name in HEADER)
    names = names.replace("<table:table-cell>", '<table:table-cell office:value-type="string">')
    cells = (
        '<table:table-cell office:value-type="date" office:date-value="2024-01-01T00:30:00"/>'
        '<table:table-cell office:value-type="float" office:value="426"/>'
        '<table:table-cell office:value-type="float" office:value="0.1"/>'
        f'<table:table-cell table:number-columns-repeated="{repeated}" office:value-type="float" office:value="5"/>'
    )
    of = "urn:oasis:names:tc:opendocument:xmlns"
    spaces = "".join(f' xmlns:{name}="{of}:{name}:1.0"' for name in ("office", "table", "text"))
    rest = '<table:table-row table:number-rows-repeated="1048570"><table:table-cell/></table:table-row>'
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr(
            "content.xml",
            f'<office:document-content{spaces}><office:body><office:spreadsheet><table:table table:name="S">'
            f"<table:table-row>{names}</table:table-row><table:table-row>{cells}</table:table-row>{rest}"
            "</table:table></office:spreadsheet></office:body></office:document-content>",
        )
    return path


def test_ods(tmp_path: Path) -> None:
    found = rows_of(ods(tmp_path / "r.ods"))
    assert (found.readings, found.places) == ([(START + 1800, "426", 0.1)], [2])
    assert found.format.name.startswith("ods, sheet 'S'")


def test_workbooks_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far = workbook(tmp_path / "far.xlsx", S=[HEADER])
    book = openpyxl.load_workbook(far)
    book["S"]["XFD1048576"] = 1
    book.save(far)
    with pytest.raises(SourceError, match="a sheet has more than 30,000,000 cells"):
        rows_of(far)
    with pytest.raises(SourceError, match="a sheet has more than 30,000,000 cells"):
        rows_of(ods(tmp_path / "far.ods", 16_000_000))
    monkeypatch.setattr(workbook_size, "MOST_UNPACKED_BYTES", 1000)
    with pytest.raises(SourceError, match="when unpacked. Split it"):
        rows_of(workbook(tmp_path / "r.xlsx", S=[HEADER]))
    old = tmp_path / "old.xls"
    old.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(SourceError, match="old.xls: the workbook cannot be read"):
        rows_of(old)
    with pytest.raises(SourceError, match="no sheet with a header and rows"):
        monkeypatch.undo()
        rows_of(workbook(tmp_path / "empty.xlsx", S=[]))
