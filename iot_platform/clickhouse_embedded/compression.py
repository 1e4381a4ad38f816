"""Compression of bodies and responses as streams: Content-Encoding (gzip, deflate, zstd, lz4 frames, br) and blocks."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import brotli
import lz4.frame
import zstandard

from iot_platform.clickhouse_embedded import native_blocks
from iot_platform.clickhouse_embedded.errors import CANNOT_DECOMPRESS, UNKNOWN_COMPRESSION_METHOD, ClickHouseError

# Fastest first. The server uses the first one that the client accepts.
ENCODINGS = ("lz4", "zstd", "gzip", "br", "deflate")
_GZIP = 31  # zlib's window argument for the gzip wrapper
_PLAIN_BYTES = 1024 * 1024  # maximum per step: a few kilobytes may decompress to gigabytes
_ZSTD_BYTES = 256  # input per step: its decompressor has no output limit, and four bytes may become 128 KiB
_LEVEL = 3  # ClickHouse's http_zlib_compression_level


class Compressor(Protocol):
    """Compresses a stream chunk by chunk."""

    def compress(self, data: bytes) -> bytes:
        """Compressed bytes so far; may be empty."""

    def flush(self) -> bytes:
        """The rest."""


class _Lz4:
    def __init__(self) -> None:
        self._inner = lz4.frame.LZ4FrameCompressor()
        self._begun = False

    def compress(self, data: bytes) -> bytes:
        begin = b"" if self._begun else self._inner.begin()
        self._begun = True
        return bytes(begin + self._inner.compress(data))

    def flush(self) -> bytes:
        begin = b"" if self._begun else self._inner.begin()
        return bytes(begin + self._inner.flush())


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Compressor(quality=_LEVEL)

    def compress(self, data: bytes) -> bytes:
        return bytes(self._inner.process(data))

    def flush(self) -> bytes:
        return bytes(self._inner.finish())


class _Chain:
    """ClickHouse's own blocks (``blocks``) inside a Content-Encoding; both are optional."""

    def __init__(self, blocks: bool, encoding: str | None) -> None:
        self._links: list[Compressor] = [native_blocks.BlockCompressor()] if blocks else []
        if encoding:
            self._links.append(compressor(encoding))

    def compress(self, data: bytes) -> bytes:
        for link in self._links:
            data = link.compress(data)
        return data

    def flush(self) -> bytes:
        rest = b""
        for link in self._links:
            rest = link.compress(rest) + link.flush()
        return rest


def response_compressor(blocks: bool, encoding: str | None) -> Compressor:
    """A fresh compressor for a response; without ``blocks`` and ``encoding`` the bytes stay as they are."""
    return _Chain(blocks, encoding)


def packed_in_blocks(data: bytes) -> bytes:
    """``data`` as ClickHouse's own blocks."""
    return native_blocks.BlockCompressor().compress(data)


def choose(accept_encoding: str) -> str | None:
    """The encoding of a response to a client's Accept-Encoding; None: uncompressed."""
    accepted = set()
    for item in accept_encoding.lower().split(","):
        name, _, quality = item.strip().partition(";")
        if quality.replace(" ", "") not in ("q=0", "q=0.0"):
            accepted.add(name.strip())
    return next((name for name in ENCODINGS if name in accepted), None)


def compressor(encoding: str) -> Compressor:
    """A fresh compressor for one of ENCODINGS."""
    makers: dict[str, Callable[[], Any]] = {
        "lz4": _Lz4,
        "zstd": lambda: zstandard.ZstdCompressor(level=_LEVEL).compressobj(),
        "gzip": lambda: zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP),
        "deflate": lambda: zlib.compressobj(_LEVEL),
        "br": _Brotli,
    }
    made: Compressor = makers[encoding]()
    return made


class Decompressor:
    """Decompresses a request body chunk by chunk; several frames may follow each other (clients send one per block)."""

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        self._name = name
        self._make = {
            "lz4": lz4.frame.LZ4FrameDecompressor,
            "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
            "gzip": lambda: zlib.decompressobj(_GZIP),
            "deflate": zlib.decompressobj,
            "br": brotli.Decompressor,
        }.get(name)
        if name not in ("", "identity") and self._make is None:
            raise ClickHouseError(UNKNOWN_COMPRESSION_METHOD, f"Unknown compression method: {encoding}")
        self._inner: Any = None

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """The plain bytes of ``data``, in pieces of bounded size."""
        if self._make is None:
            yield bytes(data)
            return
        try:
            while data:
                if self._inner is None:
                    self._inner = self._make()
                more = True
                while more:
                    plain, data, more = self._step(data)
                    if plain:
                        yield plain
                if self._ended():
                    self._inner = None
                elif data:
                    raise EOFError("no progress")
        except (zlib.error, zstandard.ZstdError, brotli.error, RuntimeError, EOFError) as error:
            raise ClickHouseError(
                CANNOT_DECOMPRESS, f"Cannot decompress the request body ({self._name}): {error}"
            ) from None

    def _step(self, data: bytes | memoryview) -> tuple[bytes, bytes | memoryview, bool]:
        """Some plain bytes, the remaining input, and whether this frame has more output."""
        inner = self._inner
        if self._name == "br":
            plain = inner.process(data, output_buffer_limit=_PLAIN_BYTES)
            return plain, b"", bool(plain) and not inner.is_finished()
        if self._name == "zstd":
            view = memoryview(data)
            plain, left = inner.decompress(view[:_ZSTD_BYTES]), view[_ZSTD_BYTES:]
            return plain, (inner.unused_data + bytes(left) if inner.eof else left), bool(left) and not inner.eof
        plain = inner.decompress(data, _PLAIN_BYTES)
        if inner.eof:
            return plain, inner.unused_data or b"", False
        if self._name == "lz4":
            return plain, b"", not inner.needs_input
        rest = inner.unconsumed_tail
        return plain, rest, bool(rest) or len(plain) == _PLAIN_BYTES

    def finish(self) -> None:
        """Raise when the body ended within a frame: it was cut off."""
        if self._inner is not None:
            raise ClickHouseError(CANNOT_DECOMPRESS, f"The request body ({self._name}) ends within a frame")

    def _ended(self) -> bool:
        return bool(self._inner.is_finished() if self._name == "br" else self._inner.eof)
