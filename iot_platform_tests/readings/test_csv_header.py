"""The header of a CSV file is found in all its dress, and rows keep their line numbers."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_platform.errors import SourceError
from iot_platform.readings.files import csv_rows
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.csv_text import known_encoding
from iot_platform.readings.files.open_file import AUTO, open_row_source

Rows = list[tuple[int, list[str]]]
COLUMNS = ["time", "meter", "kwh"]
ROWS = [(0, ["2024-01-01", "Küche", "1"]), (1, ["2024-01-02", "b", "2"])]


def read(path: Path, content: bytes, options: FileOptions = AUTO) -> tuple[list[str], Rows, list[int]]:
    """The header, (line, fields) of each row, and the lines that are malformed."""
    path.write_bytes(content)
    source = open_row_source(path, options)
    names = [name for name in source.column_names if name]
    rows: Rows = []
    malformed = []
    for piece in source.rows(names):
        columns = [[value.decode() for value in piece.columns[name].to_pylist()] for name in names]
        rows += list(zip(piece.places.tolist(), map(list, zip(*columns, strict=True)), strict=True))
        malformed += [reject.place for reject in piece.malformed]
    source.close()
    return names, rows, malformed


@pytest.fixture(params=[1 << 20, 25], ids=["one block", "many blocks"])
def file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", request.param)
    return tmp_path / "r.csv"


@pytest.mark.parametrize(
    ("before", "first_line"),
    [
        ("", 2),
        ("sep=,\n", 3),
        ('"SEP=,"\r\n', 3),
        ("\n\r\n", 4),
        ('Name,A CUSTOMER\nAddress,"an address"\nAccount,0001\n\n', 6),
        ("# exported by x\n#\n# unit: kWh, one row per hour\n", 5),
        ("Report; of meters\n# comment\n\n", 5),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_what_comes_before_the_header(file: Path, before: str, first_line: int, encoding: str) -> None:
    content = (before + "time,meter,kwh\n2024-01-01,Küche,1\nbad\n2024-01-02,b,2\n").encode(encoding)
    given = FileOptions(encoding="cp1252") if encoding == "cp1252" else AUTO
    names, rows, malformed = read(file, content, given)
    assert names == COLUMNS
    assert rows == [(first_line, ["2024-01-01", "Küche", "1"]), (first_line + 2, ["2024-01-02", "b", "2"])]
    assert malformed == [first_line + 1]


def test_comments_between_rows_are_left_out_if_there_is_one_before_the_header(file: Path) -> None:
    content = b'# first\ntime,meter,kwh\n# a "quote\n2024-01-01,a,1\n# b,c,d\n2024-01-02,b,2\n#'
    assert read(file, content)[1:] == ([(4, ["2024-01-01", "a", "1"]), (6, ["2024-01-02", "b", "2"])], [])
    # Otherwise they are rows, so that nothing is left out silently.
    assert read(file, content[8:])[2] == [2, 6]


@pytest.mark.parametrize(
    ("header", "row", "names"),
    [
        ("time,meter,kwh,", "2024-01-01,a,1", COLUMNS),
        ("time,meter,kwh,,,", "2024-01-01,a,1", COLUMNS),
        ("time,meter,kwh", "2024-01-01,a,1,", COLUMNS),
        ("time,meter,kwh,", "2024-01-01,a,1,,", COLUMNS),
        ('"time","meter","kwh"', '"2024-01-01",a,1', COLUMNS),
        ("time;meter;kwh;", "2024-01-01;a;1", COLUMNS),
    ],
)
def test_empty_columns_at_the_end(file: Path, header: str, row: str, names: list[str]) -> None:
    assert read(file, f"{header}\n{row}\n{row}\n".encode())[:2] == (
        names,
        [(2, ["2024-01-01", "a", "1"]), (3, ["2024-01-01", "a", "1"])],
    )


def test_commas_in_a_header_with_semicolons(file: Path) -> None:
    content = "Zeit;Verbrauch (kWh, netto, gesamt);Zähler\n1;2;3\n".encode()
    assert read(file, content)[0] == ["Zeit", "Verbrauch (kWh, netto, gesamt)", "Zähler"]


def test_a_last_field_that_is_not_empty_is_no_empty_column(file: Path) -> None:
    # Decimal commas and commas between the fields cannot be told apart.
    assert read(file, b"time,meter,kwh\n2024-01-01,a,0,5\n")[2] == [2]


def test_the_header_contains_the_given_names(file: Path) -> None:
    content = b"when,where\nwhen,where,what\n2024-01-01,a,1\n"
    names, rows, _ = read(file, content, FileOptions(timestamp_column="when", value_column="what"))
    assert (names, rows) == (["when", "where", "what"], [(3, ["2024-01-01", "a", "1"])])
    # Nothing is known: the first line with as many fields as those after it.
    assert read(file, b"title\n\nwhen;where;what\n1;2;3\n4;5;6\n")[0] == ["when", "where", "what"]


def test_a_header_that_is_not_utf8_is_windows_1252(file: Path) -> None:
    content = "Zeit;Zähler;kWh;Straße – €\n1;Küche;0,5;x\n".encode("cp1252")
    names, rows, _ = read(file, content)
    assert (names, rows) == (["Zeit", "Zähler", "kWh", "Straße – €"], [(2, ["1", "Küche", "0,5", "x"])])
    source = open_row_source(file)
    assert source.encoding == "cp1252"
    assert [(fact.name, fact.taken_as) for fact in source.facts] == [
        ("encoding", "Windows-1252"),
        ("delimiter", "semicolon"),
    ]


def test_damaged_utf16_stays_local(file: Path) -> None:
    content = "time,meter,kwh\n1,a,2\n3,".encode("utf-16") + b"\x00\xd8" + ",4\n5,c,6\n".encode("utf-16-le") + b"x"
    file.write_bytes(content)
    pieces = list(open_row_source(file).rows(COLUMNS))
    meters = [value for piece in pieces for value in piece.columns["meter"].to_pylist()]
    assert meters == [b"a", b"\xed\xa0\x80", b"c"]
    assert [reject.place for piece in pieces for reject in piece.malformed] == [5]


def test_a_compressed_file_in_another_encoding(file: Path) -> None:
    content = "# c\ntime,meter,kwh\n2024-01-01,Küche,1\n".encode("utf-16")
    assert read(file, gzip.compress(content))[1] == [(3, ["2024-01-01", "Küche", "1"])]


def test_names_of_encodings() -> None:
    assert [known_encoding(name) for name in ("UTF-8", "utf_8_sig", "latin-1", "Windows-1250", "UTF16")] == [
        "utf-8",
        "utf-8",
        "iso8859-1",
        "cp1250",
        "utf-16",
    ]
    for name in ("klingon", "base64", "utf-7x", "idna\0"):
        with pytest.raises(ValueError, match="unknown encoding .*cp1252"):
            known_encoding(name)


def test_a_line_that_does_not_end(file: Path) -> None:
    with pytest.raises(SourceError, match="no header line"):
        read(file, b"x" * (3 << 20))


text = st.text(alphabet=st.sampled_from("aé€ü1,"), max_size=5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(text, min_size=1, max_size=30),
    st.sampled_from(["utf-8", "utf-16", "cp1252"]),
    st.integers(1, 60),
    st.sampled_from(["", "sep=;\n", "#x\n", "a title\n\n"]),
)
def test_any_encoding_and_block_size_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, meters: list[str], encoding: str, block: int, before: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "r.csv"
    content = before + "time;zähler;kwh\n" + "".join(f"2024;{meter};1\n" for meter in meters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "BLOCK_BYTES", block)
        names, rows, malformed = read(path, content.encode(encoding))
    first = before.count("\n") + 2
    assert names == ["time", "zähler", "kwh"]
    assert rows == [(first + n, ["2024", meter, "1"]) for n, meter in enumerate(meters)]
    assert not malformed
