"""One request's worker steps and its answer; cancels the query when the client goes away."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Send

from iot_platform.clickhouse.embedded import answer, compression
from iot_platform.clickhouse.embedded.engine import Engine
from iot_platform.clickhouse.embedded.execution import Execution
from iot_platform.clickhouse.embedded.faults import ClickHouseError

log = logging.getLogger(__name__)
T = TypeVar("T")

# As in ClickHouse: an error within the first MiB still gets its own status.
_COLLECT_BYTES = 1024 * 1024
_KILL_AGAIN_S = 0.1
_IN_MEMORY_BYTES = 16 * _COLLECT_BYTES


class Exchange:
    """Steps of one execution in worker threads, and the answer to its client."""

    def __init__(self, engine: Engine, pool: ThreadPoolExecutor, request: Request, send: Send) -> None:
        self.execution: Execution | None = None
        self.query_id = ""
        self.began = False
        self._engine = engine
        self._pool = pool
        self._request = request
        self._send = send
        self._tag = answer.new_exception_tag()
        self._encoding: str | None = None
        self._compressor: compression.Compressor | None = None
        self._pending: asyncio.Future[Any] | None = None
        self._gone: asyncio.Task[None] | None = None

    def compress(self, wanted: bool) -> None:
        """Choose the encoding of the answer."""
        self._encoding = compression.choose(self._request.headers.get("accept-encoding", "")) if wanted else None

    async def step(self, work: Callable[..., T], *args: object) -> T:
        """Run one blocking step in a worker thread; it is finished before the exchange closes, whatever happens."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*args))
        self._pending = future
        return await asyncio.shield(future)

    async def answer(self, start: Callable[[], Iterator[bytes]]) -> None:
        """Run the statement and send its result, streaming when it is large."""
        execution = self.execution
        assert execution is not None
        self._gone = asyncio.create_task(self._wait_until_gone())
        spool = execution.query.wait_end
        result, first, complete = await self._watched(lambda: _begin(start, spool))
        if complete:
            # The session must be free before the client sees the last byte and sends its next request.
            await self.step(execution.close)
            await self._send_whole(200, first)
            return
        await self._send_head(200)
        await self._send_part(first)
        try:
            while (chunk := await self._watched(lambda: next(result, None))) is not None:
                await self._send_part(chunk)
        finally:
            await self.step(execution.close)
        tail = self._compressor.flush() if self._compressor else b""
        await self._send({"type": "http.response.body", "body": tail, "more_body": False})

    async def fail(self, error: ClickHouseError) -> None:
        """Send the error: as a status while that is possible, else into the stream, which then breaks off."""
        version = self._engine.version
        if self.execution is not None:
            await self.step(self.execution.close)
        if not self.began:
            self._encoding = None
            await self._send_whole(error.status, error.body(version).encode(), error)
            return
        await self._send_part(answer.mid_stream(error, version, self._tag), flush=True)
        # No final chunk: the server closes the connection, and the client knows that the answer is not complete.

    async def close(self) -> None:
        """Finish the step under way and give everything back."""
        if self._gone is not None:
            self._gone.cancel()
        if self.execution is None:
            return
        if self._pending is not None and not self._pending.done():
            await asyncio.shield(self.step_kill())
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._pool, self.execution.close))

    async def step_kill(self) -> None:
        """Cancel the running query and wait for its step to end."""
        pending = self._pending
        assert self.execution is not None and pending is not None
        query_id = self.execution.query.query_id
        while not pending.done():  # the query may not have begun yet: once is not enough
            await asyncio.get_running_loop().run_in_executor(self._pool, self._engine.kill, query_id)
            await asyncio.wait({pending}, timeout=_KILL_AGAIN_S)

    async def _watched(self, work: Callable[[], T]) -> T:
        """A step that is cancelled when the client goes away; what changes data runs to its end, as in ClickHouse."""
        assert self._gone is not None and self.execution is not None
        future = asyncio.ensure_future(self.step(work))
        await asyncio.wait({future, self._gone}, return_when=asyncio.FIRST_COMPLETED)
        if not future.done() and self.execution.reads_only:
            await self.step_kill()
        return await future

    async def _wait_until_gone(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass

    def _headers(self, status_error: ClickHouseError | None = None) -> dict[str, str]:
        execution = self.execution
        headers = answer.common_headers(self.query_id, self._engine.timezone)
        fmt = execution.format if execution else None
        headers["X-ClickHouse-Exception-Tag"] = self._tag
        if status_error is not None:
            headers["X-ClickHouse-Exception-Code"] = str(status_error.code)
            headers["Content-Type"] = "text/plain; charset=UTF-8"
        else:
            headers["Content-Type"] = answer.content_type(fmt)
            if fmt:
                headers["X-ClickHouse-Format"] = fmt
            if self._encoding:
                headers["Content-Encoding"] = self._encoding
        if execution is not None:
            headers["X-ClickHouse-Summary"] = answer.summary(execution)
        return headers

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        self.began = True
        encoded = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def _send_whole(self, status: int, body: bytes, error: ClickHouseError | None = None) -> None:
        if not body:
            self._encoding = None
        headers = self._headers(error)
        if self._encoding:
            packer = compression.compressor(self._encoding)
            body = packer.compress(body) + packer.flush()
        await self._start(status, {**headers, "Content-Length": str(len(body))})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _send_head(self, status: int) -> None:
        if self._encoding:
            self._compressor = compression.compressor(self._encoding)
        await self._start(status, self._headers())

    async def _send_part(self, data: bytes, flush: bool = False) -> None:
        packer = self._compressor
        if packer is not None:
            data = packer.compress(data) + (packer.flush() if flush else b"")
        if data:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})


def _begin(start: Callable[[], Iterator[bytes]], spool: bool) -> tuple[Iterator[bytes], bytes, bool]:
    """Start the query and collect its first MiB; with ``spool`` (wait_end_of_query) the whole result first."""
    result = start()
    if spool:
        result = _spooled(result)
    parts: list[bytes] = []
    size = 0
    for chunk in result:
        parts.append(chunk)
        size += len(chunk)
        if size >= _COLLECT_BYTES:
            return result, b"".join(parts), False
    return result, b"".join(parts), True


def _spooled(result: Iterator[bytes]) -> Iterator[bytes]:
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
        for chunk in result:
            file.write(chunk)
        file.seek(0)
        while chunk := file.read(_COLLECT_BYTES):
            yield chunk
