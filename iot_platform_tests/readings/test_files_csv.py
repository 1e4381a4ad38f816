"""CSV rows have their exact line numbers, damage stays local, and no row is lost."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_platform.errors import SourceError
from iot_platform.readings.files import csv_rows
from iot_platform.readings.files.file_digest import digest_file
from iot_platform.readings.files.open_file import open_row_source
from iot_platform.readings.files.raw_rows import Reject

HEADER = b"time,device_id,kwh\n"


def read(path: Path, content: bytes) -> tuple[list[tuple[int, list[bytes]]], list[Reject]]:
    """(line, fields) of each row, and the malformed rows."""
    path.write_bytes(content)
    source = open_row_source(path)
    rows, malformed = [], []
    for piece in source.rows(["time", "device_id", "kwh"]):
        columns = [piece.columns[name].to_pylist() for name in ("time", "device_id", "kwh")]
        rows += list(zip(piece.places.tolist(), map(list, zip(*columns, strict=True)), strict=True))
        malformed += piece.malformed
    source.close()
    return rows, malformed


@pytest.fixture(params=[1 << 20, 40], ids=["one block", "many blocks"])
def file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", request.param)
    return tmp_path / "r.csv"


def test_each_row_has_its_line(file: Path) -> None:
    rows, malformed = read(file, HEADER + b"a,1,2\n\n\nb,2,3\r\nc,3\nd,4,5")
    assert rows == [(2, [b"a", b"1", b"2"]), (5, [b"b", b"2", b"3"]), (7, [b"d", b"4", b"5"])]
    assert malformed == [Reject(6, "wrong_column_count", "c,3")]


def test_quoted_line_ends_count_as_lines(file: Path) -> None:
    rows, malformed = read(file, HEADER + b'"a\nb",1,2\nc,"2",3\nd,"4""x",5\n')
    assert rows == [(2, [b"a\nb", b"1", b"2"]), (4, [b"c", b"2", b"3"]), (5, [b"d", b'4"x', b"5"])]
    assert not malformed


def test_a_byte_order_mark_within_a_file_is_text(file: Path) -> None:
    # Also at the start of a block, where Arrow would remove it.
    rows, malformed = read(file, HEADER + b"\xef\xbb\xbfabcdefghijklmnop,1,2\n" * 9)
    assert [fields for _, fields in rows] == [[b"\xef\xbb\xbfabcdefghijklmnop", b"1", b"2"]] * 9
    assert not malformed


def test_quotes_beside_a_carriage_return_or_a_very_long_field(file: Path) -> None:
    # Python's csv module refuses fields of more than 131,072 bytes.
    rows, malformed = read(file, HEADER + b'"a",1,x\ry\n"' + b"b" * 150_000 + b'",2,\r\n')
    assert rows == [(2, [b"a", b"1", b"x\ry"]), (3, [b"b" * 150_000, b"2", b""])]
    assert not malformed


def test_an_unclosed_quote_costs_one_row(file: Path) -> None:
    good = [b"t%d,%d,1\n" % (n, n) for n in range(300)]
    rows, malformed = read(file, HEADER + b"".join(good[:150]) + b'"oops,1,2\n' + b"".join(good[150:]))
    assert len(rows) == 300
    assert [(reject.place, reject.text) for reject in malformed] == [(152, '"oops,1,2')]
    assert rows[-1][0] == 302


def test_two_unclosed_quotes_cost_two_rows(file: Path) -> None:
    rows, malformed = read(file, HEADER + b'"x,1,1\nb,2,2\n"y,3,3\nc,4,4\n')
    assert [line for line, _ in rows] == [3, 5]
    assert [reject.place for reject in malformed] == [2, 4]


def test_a_quote_inside_a_field_is_text(file: Path) -> None:
    rows, _ = read(file, HEADER + b'a,5" pipe,1\nb,2,2\n')
    assert rows == [(2, [b"a", b'5" pipe', b"1"]), (3, [b"b", b"2", b"2"])]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_header_tells_the_delimiter(file: Path, delimiter: str) -> None:
    content = (HEADER + b"a,1,2\n").replace(b",", delimiter.encode())
    assert read(file, content)[0] == [(2, [b"a", b"1", b"2"])]


def test_byte_order_mark_and_compression(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + HEADER + b"a,1,2\n"
    packed = [content, gzip.compress(content), pa.compress(content, "zstd", asbytes=True)]
    # The content decides, not the name of the file.
    assert [read(tmp_path / "x.csv", data)[0] for data in packed] == [[(2, [b"a", b"1", b"2"])]] * 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x00\x01\x02", "neither a CSV nor a Parquet"),
        (b"PAR1\x15 and nothing else", "not a readable Parquet"),
        (gzip.compress(HEADER + b"a,1,2\n" * 100, mtime=0)[:-9], "cannot be unpacked"),
    ],
)
def test_errors_name_the_unusable_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message) as error:
        digest_file(path)
        list(open_row_source(path).rows(["time", "device_id", "kwh"]))
    assert "broken.csv" in str(error.value)


field = st.text(alphabet=st.sampled_from('a1,"\n\r\té '), max_size=6)


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(field, field, field), max_size=20), st.integers(8, 200))
def test_quoted_fields_are_read_unchanged(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], block: int
) -> None:
    path = tmp_path_factory.mktemp("csv") / "r.csv"
    text = "".join(",".join(map(quoted, row)) + "\n" for row in rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "BLOCK_BYTES", block)
        found, malformed = read(path, HEADER + text.encode())
    assert [tuple(value.decode() for value in values) for _, values in found] == rows
    assert not malformed


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([b"a,1,2", b"x,y", b'"a",1,2', b'"b', b"", b"\xff,1,2", b'c,"1",2,3']), max_size=40))
def test_any_block_size_gives_the_same_rows(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("csv") / "r.csv"
    content = HEADER + b"\n".join(lines)
    found = []
    for block in (16, 50, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(csv_rows, "BLOCK_BYTES", block)
            found.append(read(path, content))
    assert found[0] == found[1] == found[2]
