"""Joining the engine's chunks into one stream.

The engine encodes every block on its own: with its own header. To stream a format with a header, the header of all
chunks but the first is cut off; it is the same in each.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from iot_platform.clickhouse.embedded.lexer import words

_PLAIN = words(
    """
    native tabseparated tsv tabseparatedraw tsvraw raw csv rowbinary jsoneachrow jsonlines ndjson
    jsonstringseachrow jsoncompacteachrow jsoncompactstringseachrow tskv lineasstring msgpack bsoneachrow
    """
)
_END_OF_ARROW = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def has_preamble(fmt: str) -> bool:
    """Whether even an empty result of this format has bytes (names, a schema, brackets)."""
    return fmt.lower() not in _PLAIN


def can_stream(fmt: str) -> bool:
    """Whether chunks of this format can be joined."""
    return fmt.lower() in _PLAIN or fmt.lower() == "arrowstream" or _header_length(fmt) is not None


def joined(fmt: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """One stream of ``fmt`` from chunks that each have their own header."""
    if fmt.lower() == "arrowstream":
        return _join_arrow(chunks)
    length = _header_length(fmt)
    return chunks if length is None else _without_headers(chunks, length)


def _without_headers(chunks: Iterator[bytes], length: Callable[[bytes], int]) -> Iterator[bytes]:
    header = None
    for chunk in chunks:
        if header is None:
            header = chunk[: length(chunk)]
            yield chunk
        else:
            yield chunk[len(header) :]


def _join_arrow(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Each chunk is a stream of its own: schema, batches, end mark. Keep one schema and one end mark."""
    first = True
    for chunk in chunks:
        body = chunk.removesuffix(_END_OF_ARROW)
        if not first:
            # Encapsulated message: FFFFFFFF, length of the metadata (padded); a schema has no body.
            body = body[8 + struct.unpack_from("<i", body, 4)[0] :]
        first = False
        yield body
    if not first:
        yield _END_OF_ARROW


def _header_length(fmt: str) -> Callable[[bytes], int] | None:
    name = fmt.lower()
    base, records = name, 0
    for suffix, count in (("withnamesandtypes", 2), ("withnames", 1)):
        if name.endswith(suffix):
            base, records = name.removesuffix(suffix), count
            break
    if not records:
        return None
    if base == "rowbinary":
        return lambda chunk: _row_binary_header(chunk, records)
    if base == "csv":
        return lambda chunk: _csv_header(chunk, records)
    if base in _PLAIN:
        return lambda chunk: _lines(chunk, records)
    return None


def _lines(chunk: bytes, count: int) -> int:
    position = 0
    for _ in range(count):
        position = chunk.index(b"\n", position) + 1
    return position


def _csv_header(chunk: bytes, records: int) -> int:
    """Names are quoted and may hold line ends: a record ends at a line end outside quotes."""
    position = start = 0
    while records:
        position = chunk.index(b"\n", position) + 1
        if chunk.count(b'"', start, position) % 2 == 0:
            records -= 1
            start = position
    return position


def _row_binary_header(chunk: bytes, records: int) -> int:
    columns, position = _varint(chunk, 0)
    for _ in range(columns * records):
        length, position = _varint(chunk, position)
        position += length
    return position


def _varint(chunk: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = chunk[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
