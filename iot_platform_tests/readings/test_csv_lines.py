"""CSV lines of a stream."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from iot_platform.errors import SourceError
from iot_platform.readings.csv_lines import LineParser, read_whole_lines
from iot_platform.readings.files.raw_rows import Reject
from iot_platform.readings.files.rejects import RejectReport


def pieces_of(*written: bytes) -> list[bytes]:
    """The pieces that are read when a sender writes these bytes and ends."""
    reader, writer = os.pipe()
    try:
        for text in written:
            os.write(writer, text)
        os.close(writer)
        return list(read_whole_lines(reader, "stream x", 5.0))
    finally:
        os.close(reader)


def test_pieces_are_whole_lines() -> None:
    assert b"".join(pieces_of(b"a,b\n1,2", b"\n3,4\n")) == b"a,b\n1,2\n3,4\n"


def test_a_line_without_its_end_is_refused() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a,b\n1,2\n3,45")  # it wanted to write 3,4567
    os.close(writer)
    pieces = read_whole_lines(reader, "stream x", 5.0)
    assert next(pieces) == b"a,b\n1,2\n"
    with pytest.raises(SourceError, match="stream x: the last line, b'3,45', has no line end"):
        next(pieces)
    os.close(reader)


def test_reported_rejects_survive_a_kill(tmp_path: Path) -> None:
    report = RejectReport(tmp_path / "rejects.csv", "position")
    report.add([Reject(7, "no number", "x,y,z")])
    # The report is not closed, as after kill -9.
    assert (tmp_path / "rejects.csv").read_text(encoding="utf-8").splitlines()[1] == '7,no number,"x,y,z"'
    report.close()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"interval_end,device_id,kwh\n", "'interval_end' is the end of the interval"),
        (b"time,device_id,power_kw\n", "'power_kw' is in kW. Set --interval"),
        (b"time,device_id,usage,unit\n", "not in column 'unit' of each line"),
    ],
)
def test_headers_that_only_a_file_can_have(header: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        LineParser(header, "plant")
