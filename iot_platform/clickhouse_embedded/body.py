"""The body of a request as plain bytes, in pieces of about 1 MiB."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from starlette.requests import Request

from iot_platform.clickhouse_embedded.compression import Decompressor
from iot_platform.clickhouse_embedded.native_blocks import BlockDecompressor
from iot_platform.clickhouse_embedded.request import HttpQuery

# Larger than the network's chunks of 64 KiB, so that fewer pieces are handed to worker threads.
PIECE_BYTES = 1024 * 1024
_PACKED_BYTES = PIECE_BYTES // 4
Step = Callable[..., Awaitable[Any]]


class Body:
    """The decompressed body: ``take`` reads its beginning, and iterating gives the rest."""

    def __init__(self, request: Request, query: HttpQuery, step: Step) -> None:
        """``step`` runs a function in a worker thread: decompression must not block other requests."""
        encoding = request.headers.get("content-encoding", "").strip().lower()
        if query.body_in_blocks or encoding not in ("", "identity"):
            self._pieces = _decompressed(request, _Unpacker(encoding, query), step)
        else:
            self._pieces = _gathered(request, PIECE_BYTES)
        self.ended = False

    async def take(self, size: int = PIECE_BYTES) -> bytes:
        """The next bytes: at least ``size``, or all there are (then ``ended`` is true)."""
        parts: list[bytes] = []
        taken = 0
        while taken < size:
            piece = await anext(self._pieces, None)
            if piece is None:
                self.ended = True
                break
            parts.append(piece)
            taken += len(piece)
        return b"".join(parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The rest of the body."""
        async for piece in self._pieces:
            yield piece
        self.ended = True


class _Unpacker:
    """Undoes the Content-Encoding, then ClickHouse's own blocks if the query says so."""

    def __init__(self, encoding: str, query: HttpQuery) -> None:
        self._outer = Decompressor(encoding)
        self._inner = BlockDecompressor(query.verify_blocks) if query.body_in_blocks else None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of about PIECE_BYTES (more where a block is larger)."""
        gathered: list[bytes] = []
        size = 0
        for plain in self._unpacked(data):
            gathered.append(plain)
            size += len(plain)
            if size >= PIECE_BYTES:
                yield b"".join(gathered)
                gathered, size = [], 0
        if size:
            yield b"".join(gathered)

    def _unpacked(self, data: bytes) -> Iterator[bytes]:
        for plain in self._outer.feed(data):
            if self._inner is None:
                yield plain
            else:
                yield from self._inner.feed(plain)

    def finish(self) -> None:
        """Raise when the body was cut off."""
        self._outer.finish()
        if self._inner is not None:
            self._inner.finish()


async def _decompressed(request: Request, unpacker: _Unpacker, step: Step) -> AsyncIterator[bytes]:
    async for packed in _gathered(request, _PACKED_BYTES):
        pieces = unpacker.feed(packed)
        while (piece := await step(next, pieces, None)) is not None:
            yield piece
    unpacker.finish()


async def _gathered(request: Request, wanted: int) -> AsyncIterator[bytes]:
    gathered: list[bytes] = []
    size = 0
    async for data in request.stream():
        gathered.append(data)
        size += len(data)
        if size >= wanted:
            yield b"".join(gathered)
            gathered, size = [], 0
    if size:
        yield b"".join(gathered)
