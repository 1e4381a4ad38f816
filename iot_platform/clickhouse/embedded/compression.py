"""Content-Encoding both ways: gzip, deflate, zstd, lz4 (frames) and br, as streams."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import brotli
import lz4.frame
import zstandard

from iot_platform.clickhouse.embedded.faults import CANNOT_DECOMPRESS, UNKNOWN_COMPRESSION_METHOD, ClickHouseError

# Fastest first: the client names what it can, the server chooses.
ENCODINGS = ("lz4", "zstd", "gzip", "br", "deflate")
_GZIP = 31  # zlib's window argument for the gzip wrapper
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


def choose(accept_encoding: str) -> str | None:
    """The encoding of an answer for a client's Accept-Encoding, or None for none."""
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
    """Decompresses a request body chunk by chunk; several frames may follow each other (clients send one a block)."""

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

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The plain bytes of ``data``."""
        if self._make is None:
            yield data
            return
        try:
            while data:
                if self._inner is None:
                    self._inner = self._make()
                yield bytes(self._inner.process(data) if self._name == "br" else self._inner.decompress(data))
                data = b""
                if self._ended():
                    data = b"" if self._name == "br" else self._inner.unused_data or b""
                    self._inner = None
        except (zlib.error, zstandard.ZstdError, brotli.error, RuntimeError, EOFError) as error:
            raise ClickHouseError(
                CANNOT_DECOMPRESS, f"Cannot decompress the request body ({self._name}): {error}"
            ) from None

    def finish(self) -> None:
        """Raise when the body ended within a frame: it was cut off."""
        if self._inner is not None:
            raise ClickHouseError(CANNOT_DECOMPRESS, f"The request body ({self._name}) ends within a frame")

    def _ended(self) -> bool:
        return bool(self._inner.is_finished() if self._name == "br" else self._inner.eof)
