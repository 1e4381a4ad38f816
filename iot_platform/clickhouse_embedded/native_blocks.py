"""ClickHouse's own compressed blocks (``compress=1``, ``decompress=1``), as streams.

A block: CityHash128 (version 1.0.2) of what follows, 16 bytes; then method, size of the compressed block with these
nine bytes, size of the plain data (one byte and two 32-bit integers, little endian); then the compressed data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from iot_platform.clickhouse_embedded.errors import (
    CANNOT_DECOMPRESS,
    CHECKSUM_DOESNT_MATCH,
    TOO_LARGE_SIZE_COMPRESSED,
    UNKNOWN_CODEC,
    ClickHouseError,
)

NONE, LZ4, ZSTD = 0x02, 0x82, 0x90
MAX_BLOCK_BYTES = 64 * 1024 * 1024  # plain or compressed; clients send blocks of about 1 MiB, ClickHouse accepts 1 GiB
_WRITTEN_BYTES = 1024 * 1024
_CHECKSUM = struct.Struct("<QQ")
_HEADER = struct.Struct("<BII")
_HEAD_BYTES = _CHECKSUM.size + _HEADER.size
_LOW = (1 << 64) - 1


class BlockCompressor:
    """Compresses a stream into LZ4 blocks, as ClickHouse does over HTTP."""

    def compress(self, data: bytes) -> bytes:
        """The blocks of ``data``; nothing is held back."""
        view = memoryview(data)
        blocks = [_block(view[begin : begin + _WRITTEN_BYTES]) for begin in range(0, len(view), _WRITTEN_BYTES)]
        return b"".join(blocks)

    def flush(self) -> bytes:
        """The rest: none."""
        return b""


class BlockDecompressor:
    """Decompresses a stream of blocks, one block at a time in memory."""

    def __init__(self, verify: bool = True) -> None:
        """``verify`` False: checksums are not compared."""
        self._verify = verify
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """The plain bytes of each block that ``data`` completes."""
        self._buffer += data
        while (size := self._block_size()) is not None and len(self._buffer) >= size:
            block = bytes(self._buffer[:size])
            del self._buffer[:size]
            yield self._plain(block)

    def finish(self) -> None:
        """Raise when the stream ended within a block: it was cut off."""
        if self._buffer:
            raise ClickHouseError(CANNOT_DECOMPRESS, "Cannot decompress the request body: it ends within a block")

    def _block_size(self) -> int | None:
        """The size of the first block with its checksum; None until its header is complete."""
        if len(self._buffer) < _HEAD_BYTES:
            return None
        method, compressed, plain = _HEADER.unpack_from(self._buffer, _CHECKSUM.size)
        if method not in _PLAIN:
            raise ClickHouseError(UNKNOWN_CODEC, f"Unknown codec family code: {method}; expected LZ4, ZSTD or NONE")
        if compressed < _HEADER.size:
            raise ClickHouseError(CANNOT_DECOMPRESS, f"Cannot decompress: a block of {compressed} bytes has no head")
        if max(compressed, plain) > MAX_BLOCK_BYTES:
            raise ClickHouseError(
                TOO_LARGE_SIZE_COMPRESSED,
                f"A compressed block of {compressed} bytes for {plain} bytes of data is too large: "
                f"at most {MAX_BLOCK_BYTES} bytes. Most likely the body is not compressed in ClickHouse's own format",
            )
        return _CHECKSUM.size + int(compressed)

    def _plain(self, block: bytes) -> bytes:
        body = memoryview(block)[_CHECKSUM.size :]
        if self._verify:
            expected, found = block[: _CHECKSUM.size], _checksum(body)
            if expected != found:
                raise ClickHouseError(
                    CHECKSUM_DOESNT_MATCH,
                    f"Checksum doesn't match: corrupted data. Reference: {expected.hex()}. Actual: {found.hex()}. "
                    f"Size of compressed block: {len(body)}",
                )
        method, _, size = _HEADER.unpack_from(body)
        try:
            plain = bytes(_PLAIN[method](bytes(body[_HEADER.size :]), size))
        except (lz4.block.LZ4BlockError, zstandard.ZstdError, ValueError) as error:
            raise ClickHouseError(CANNOT_DECOMPRESS, f"Cannot decompress a block: {error}") from None
        if len(plain) != size:
            raise ClickHouseError(
                CANNOT_DECOMPRESS, f"Cannot decompress a block: it contains {len(plain)} bytes, not {size}"
            )
        return plain


def _block(data: memoryview) -> bytes:
    packed: bytes = lz4.block.compress(data, store_size=False)
    body = _HEADER.pack(LZ4, _HEADER.size + len(packed), len(data)) + packed
    return _checksum(body) + body


def _checksum(body: bytes | memoryview) -> bytes:
    number: int = CityHash128(body)
    return _CHECKSUM.pack(number >> 64, number & _LOW)


def _unpack_lz4(data: bytes, size: int) -> bytes:
    return bytes(lz4.block.decompress(data, uncompressed_size=size)) if size else b""


def _unpack_zstd(data: bytes, size: int) -> bytes:
    # The library trusts a size in the frame, whatever limit it is given.
    if zstandard.frame_content_size(data) not in (-1, size):
        raise ValueError("the size in its frame differs from the one in its head")
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=size) if size else b""


_PLAIN = {NONE: lambda data, _: data, LZ4: _unpack_lz4, ZSTD: _unpack_zstd}
