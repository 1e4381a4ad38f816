"""The format of a file is recognised by its content; what holds no readings is refused with what it is."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_platform.errors import SourceError
from iot_platform.readings.files.open_file import open_row_source
from iot_platform.readings.formats.recognition import NotReadingsError, recognise
from iot_platform_tests.readings.formats.rows_of import rows_of

CSV = b"timestamp,device_id,kwh\n2024-01-01 00:00,7,0.5\n"


def docx() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<document/>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"%PDF-1.7 ...", "a PDF document. Export"),
        (b"\n<!DOCTYPE html>\n<html><body>Log in", "an HTML page: perhaps a login page"),
        (b"<html><table><tr><td>Zeit", "an HTML page"),
        (
            b'<?xml version="1.0"?><!-- x --><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet">',
            "the XML of Excel 2003. Open it, and save it as .xlsx",
        ),
        (b'<?xml version="1.0"?>\n<rates xmlns="urn:x"><rate/></rates>', "an XML file whose root is <rates>"),
        (b'[{"time": 1}]', "a JSON document. Write it with one object a line"),
        (b'{\n "time": 1\n}', "a JSON document"),
        (b"SQLite format 3\x00rest", "an SQLite database"),
        (b"7z\xbc\xaf\x27\x1crest", "a 7z archive. Unpack it"),
        (b"a" * 257 + b"ustar\x00", "a tar archive. Unpack it"),
        (b"PK\x03\x04 and no more", "a damaged zip archive"),
        (docx(), "a document, but no spreadsheet"),
        (b"100,NEM13,200301011534,MDP1,Retailer1\n", "a NEM13 file: register reads, months apart"),
        (gzip.compress(gzip.compress(CSV, mtime=0), mtime=0), "compressed twice"),
        (bz2.compress(b"%PDF-1.7"), "a PDF document"),
    ],
)
def test_what_holds_no_readings_is_refused_in_words(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "readings.csv"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message) as error:
        open_row_source(path)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    "packed",
    [
        bz2.compress(CSV),
        bz2.compress(CSV[:20]) + bz2.compress(CSV[20:]),
        lzma.compress(CSV),
        gzip.compress(CSV, mtime=0),
        pa.compress(CSV, "zstd", asbytes=True),
    ],
)
def test_compressed_files(tmp_path: Path, packed: bytes) -> None:
    path = tmp_path / "readings"
    path.write_bytes(packed)
    assert rows_of(path).readings == [(1704067200, "7", 0.5)]


@pytest.mark.parametrize("packed", [bz2.compress(CSV * 999), lzma.compress(CSV * 999)])
def test_a_damaged_compressed_file(tmp_path: Path, packed: bytes) -> None:
    path = tmp_path / "readings"
    path.write_bytes(packed[: len(packed) - 9])
    with pytest.raises(SourceError, match="cannot be unpacked"):
        rows_of(path)


def test_a_given_format_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "readings"
    path.write_bytes(CSV)
    given, found = rows_of(path, format="csv"), rows_of(path)
    assert given.readings == found.readings
    assert (given.format.recognised_by, found.format.recognised_by) == ("given", "its text")
    with pytest.raises(SourceError, match="not a readable Parquet file"):
        rows_of(path, format="parquet")
    with pytest.raises(SourceError, match="damaged"):
        rows_of(path, format="xlsx")
    with pytest.raises(SourceError, match=r"format csv \(its text.*does not take --sheet"):
        rows_of(path, sheet="Data")


@pytest.mark.parametrize(
    "first", ["ORCA Energie", "BZh Bezirk Hof", "Rar!", "ARROW1", "PAR1", "[Data]", "[Table 1]", "{kWh}", "[n]"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_text_may_begin_like_another_format(tmp_path: Path, first: str, encoding: str) -> None:
    path = tmp_path / "readings"
    path.write_bytes((first + "\n" + CSV.decode()).encode(encoding))
    assert rows_of(path).readings == [(1704067200, "7", 0.5)]
    with gzip.open(tmp_path / "readings.gz", "wb") as file:
        file.write(path.read_bytes())
    assert rows_of(tmp_path / "readings.gz").readings == [(1704067200, "7", 0.5)]


def test_a_refused_text_may_be_csv_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "readings"
    for first in ("<Date>;<Time>", "%PDF of the export", "{\\rtf"):
        path.write_bytes(first.encode() + b"\n" + CSV)
        with pytest.raises(SourceError, match="If it is CSV all the same, say --format csv"):
            open_row_source(path)
        assert rows_of(path, format="csv").readings == [(1704067200, "7", 0.5)]
    path.write_text("<Date>;<Time>", encoding="utf-16")
    with pytest.raises(SourceError, match="--format csv"):
        open_row_source(path)
    path.write_bytes(b"ORC\x00\x01")
    with pytest.raises(SourceError, match="an ORC file. Write it as Parquet.$"):
        open_row_source(path)


@given(st.binary(max_size=300) | st.text(alphabet="<>!-?[]{}\"' \nhtml:aPK%", max_size=60).map(str.encode))
def test_any_start_is_recognised_or_refused(start: bytes) -> None:
    try:
        assert recognise(start).by
    except NotReadingsError as error:
        assert str(error).startswith("it is ")
