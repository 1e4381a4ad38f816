"""Reading a request's body: plain bytes, in pieces of useful size."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request

from iot_platform.clickhouse.embedded.compression import Decompressor

# Fewer hops into worker threads than the network's own chunks of 64 KiB would take.
PIECE_BYTES = 1024 * 1024


class Body:
    """The decompressed body; iterate it, after looking at its beginning with ``take``."""

    def __init__(self, request: Request) -> None:
        self._pieces = _pieces(request)
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
        """What has not been taken yet."""
        async for piece in self._pieces:
            yield piece
        self.ended = True


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    decompressor = Decompressor(request.headers.get("content-encoding", ""))
    gathered: list[bytes] = []
    size = 0
    async for data in request.stream():
        for plain in decompressor.feed(data):
            gathered.append(plain)
            size += len(plain)
            if size >= PIECE_BYTES:
                yield b"".join(gathered)
                gathered, size = [], 0
    decompressor.finish()
    if size:
        yield b"".join(gathered)
