"""An encoding is applied once: to the whole text, or to the rows that are not UTF-8."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import convert
from iot_platform.readings.files.inspected import Inspected
from iot_platform.readings.files.open_file import open_row_source
from iot_platform_tests.readings.formats.rows_of import inspect

HEADER = "time;meter;kWh\n"


def ids_and_reasons(path: Path, found: Inspected) -> list[tuple[str | None, str]]:
    with closing(open_row_source(path)) as source:
        [rows] = source.rows(found.mapping.columns.names)
        _, ids, _ = convert(rows, found.mapping)
        return list(zip(ids.values.to_pylist(), ids.reasons.tolist(), strict=True))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_half_a_character_of_utf_16_is_no_meter(tmp_path: Path, encoding: str) -> None:
    """Decoded a second time, A and half a character became another meter."""
    path = tmp_path / "r.csv"
    text = "\ufeff" + HEADER + "2024-01-01 00:00;A\ud800;1\n2024-01-01 00:30;Ä;2\n"
    path.write_bytes(text.encode(encoding, errors="surrogatepass"))
    found = inspect(path)
    assert found.inspection.readable == 1
    assert ids_and_reasons(path, found) == [(None, "broken_encoding"), ("Ä", "")]
    assert found.mapping.conventions.unusual() == {"encoding": encoding}


def test_rows_that_are_not_utf_8(tmp_path: Path) -> None:
    """The name of the source has the encoding, as before, and not how it is applied."""
    path = tmp_path / "r.csv"
    path.write_bytes((HEADER + "2024-01-01 00:00;Straße 7;1\n2024-01-01 00:30;Straße 7;2\n").encode("cp1252"))
    found = inspect(path)
    assert ids_and_reasons(path, found) == [("Straße 7", ""), ("Straße 7", "")]
    assert [meter for _, meter, _ in found.inspection.preview] == ["Straße 7"] * 2
    assert found.mapping.conventions.unusual() == {"encoding": "cp1252"}
    assert '"conventions": {"encoding": "cp1252"}' in found.mapping.key()
    assert "row_encoding" not in found.mapping.key()


def test_utf_16_without_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    content = HEADER + "2024-01-01 00:00;A;1\n"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SourceError, match="--encoding utf-16 needs a mark.*utf-16-le or utf-16-be"):
        inspect(path, encoding="utf-16")
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        path.write_bytes(content.encode(encoding))
        assert inspect(path, encoding="utf-16").inspection.readable == 1
    path.write_bytes(("Ζεύς;" + HEADER).encode("utf-16-le") + "x;2024-01-01 00:00;A;1\n".encode("utf-16-le"))
    with pytest.raises(SourceError, match="needs a mark"):
        inspect(path, encoding="utf-16")
    assert inspect(path, encoding="utf-16-le").inspection.readable == 1
