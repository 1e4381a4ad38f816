"""The file format of the outbox: a sequence of frames, which are only appended.

A frame is the length and the CRC-32 of its payload, the number of positions that it covers, and the payload: readings
as an Arrow stream. An incomplete or damaged frame and all frames after it are ignored.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

_HEADER = struct.Struct("<IIQ")


def encode_frame(readings: pa.Table, positions: int) -> bytes:
    """The frame of readings that cover ``positions`` positions."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, readings.schema) as stream:
        stream.write_table(readings)
    payload = sink.getvalue().to_pybytes()
    return _HEADER.pack(len(payload), zlib.crc32(payload), positions) + payload


def read_frames(path: Path) -> Iterator[tuple[pa.Table, int, int]]:
    """The readings of each frame, the number of positions that it covers, and its end in the file.

    Stops at the first incomplete or damaged frame.
    """
    end = 0
    with path.open("rb") as file:
        while len(head := file.read(_HEADER.size)) == _HEADER.size:
            length, checksum, positions = _HEADER.unpack(head)
            payload = file.read(length)
            if len(payload) < length or zlib.crc32(payload) != checksum:
                return
            end += _HEADER.size + length
            with pa.ipc.open_stream(payload) as stream:
                yield stream.read_all(), positions, end
