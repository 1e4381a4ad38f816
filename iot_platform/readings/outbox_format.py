"""Readings as bytes in a file that is only appended to: whole or not there, and a damaged one is never believed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

# Length and CRC-32 of the payload, and the number of positions; then the payload, an Arrow stream.
_FRAME = struct.Struct("<IIQ")


def encode_frame(readings: pa.Table, positions: int) -> bytes:
    """The bytes of some readings that cover ``positions`` positions."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, readings.schema) as stream:
        stream.write_table(readings)
    payload = sink.getvalue().to_pybytes()
    return _FRAME.pack(len(payload), zlib.crc32(payload), positions) + payload


def read_frames(path: Path) -> Iterator[tuple[pa.Table, int, int]]:
    """Per frame: its readings, the positions that it covers, and where it ends in the file; up to a torn one."""
    end = 0
    with path.open("rb") as file:
        while len(head := file.read(_FRAME.size)) == _FRAME.size:
            length, checksum, positions = _FRAME.unpack(head)
            payload = file.read(length)
            if len(payload) < length or zlib.crc32(payload) != checksum:
                return
            end += _FRAME.size + length
            with pa.ipc.open_stream(payload) as stream:
                yield stream.read_all(), positions, end
