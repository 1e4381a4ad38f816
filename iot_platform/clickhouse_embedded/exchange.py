"""One request and its response: steps in worker threads, and cancellation when the client disconnects."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Send

from iot_platform.clickhouse_embedded import compression, response
from iot_platform.clickhouse_embedded.connection import EARLY_HEADERS
from iot_platform.clickhouse_embedded.engine import Engine
from iot_platform.clickhouse_embedded.errors import ClickHouseError
from iot_platform.clickhouse_embedded.execution import Execution
from iot_platform.clickhouse_embedded.results import Result
from iot_platform.clickhouse_embedded.text import encoded

T = TypeVar("T")

log = logging.getLogger(__name__)

_KILL_AGAIN_S = 0.1
_KILL_FOR_S = 30.0


class Exchange:
    """Steps of one execution in worker threads, and the response to its client."""

    def __init__(self, engine: Engine, pool: ThreadPoolExecutor, request: Request, send: Send) -> None:
        self.execution: Execution | None = None
        self.query_id = ""
        self.logged_in = False
        self.began = False  # the status and all headers of the response are sent
        self._early = False  # the status 200 and progress headers are sent
        self._engine = engine
        self._pool = pool
        self._request = request
        self._send = send
        self._tag = response.new_exception_tag()
        self._result: Result | None = None
        self._pending: asyncio.Future[Any] | None = None
        self._gone: asyncio.Task[None] | None = None

    async def step(self, work: Callable[..., T], *args: object) -> T:
        """Run one blocking step in a worker thread. The exchange does not close before it has ended."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*args))
        self._pending = future
        return await asyncio.shield(future)

    async def long_step(self, work: Callable[..., T], *args: object) -> T:
        """A step of unknown length; sends progress headers meanwhile if the client asked for them."""
        execution = self.execution
        assert execution is not None
        future = asyncio.ensure_future(self.step(work, *args))
        interval_s = execution.query.progress_interval_s
        is_modern = self._request.method != "HEAD" and self._request.scope["http_version"] != "1.0"
        if interval_s is not None and is_modern and not self.began:
            while not (await asyncio.wait({future}, timeout=interval_s))[0]:
                await self._send_progress(execution)
        return await future

    async def respond(self, start: Callable[[], Iterator[bytes]]) -> None:
        """Run the statement and send its result, streaming when it is large."""
        execution = self.execution
        assert execution is not None
        self._gone = asyncio.create_task(self._wait_until_gone())
        query = execution.query
        accepted = self._request.headers.get("accept-encoding", "")
        encoding = compression.choose(accepted) if query.compress_response else None
        # HTTP/1.0 has no chunks: only a length distinguishes a complete response from a truncated one.
        whole_first = query.wait_end or self._request.scope["http_version"] == "1.0"
        result = self._result = Result(start, query.response_in_blocks, encoding, whole_first)
        body: bytes | None = await self._watched(lambda: self._begin(result))
        await self._send_head(None if result.is_empty else encoding, result.length)
        try:
            while body is not None and len(body) != result.length:
                await self._send_part(body)
                body = await self._watched(result.more)
        finally:
            if result.length is None:
                await self.step(execution.close)
        tail = await self.step(result.end) if result.length is None else body or b""
        await self._send({"type": "http.response.body", "body": tail, "more_body": False})

    def _begin(self, result: Result) -> bytes:
        body = result.begin()
        if result.length is not None and self.execution is not None:
            # The session must be free before the client sees the last byte and sends its next request.
            self.execution.close()
        return body

    async def fail(self, error: ClickHouseError, close: bool = False) -> None:
        """Send the error: as a status if none was sent yet, else at the end of the stream, which then ends.

        ``close``: the connection serves no further request.
        """
        execution = self.execution
        if execution is not None:
            await self.step(execution.close)
        if not self.began and not self._early:
            body = encoded(error.body(self._engine.version))
            if execution is not None and execution.query.response_in_blocks:
                body = await self.step(compression.packed_in_blocks, body)
            headers = {**self._headers(error), "Content-Length": str(len(body))}
            await self._start(error.status, {**headers, "Connection": "close"} if close else headers)
            await self._send({"type": "http.response.body", "body": body, "more_body": False})
            return
        if not self.began:
            blocks = execution is not None and execution.query.response_in_blocks
            self._result = Result(lambda: iter(()), blocks, None, whole_first=False)
            await self._start(200, {**self._headers(error), "Connection": "close"})
        assert self._result is not None
        message = response.mid_stream(error, self._engine.version, self._tag)
        await self._send_part(await self.step(self._result.end, message))
        # No final chunk follows: the closed connection tells the client that the response is incomplete.

    async def close(self) -> None:
        """End the running step and release the handle, the session and the files."""
        if self._gone is not None:
            self._gone.cancel()
        if self.execution is None:
            return
        if self._pending is not None and not self._pending.done():
            await asyncio.shield(self._cancel_step())
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._pool, self._release))

    def _release(self) -> None:
        assert self.execution is not None
        self.execution.close()
        if self._result is not None:
            self._result.close()

    async def _cancel_step(self) -> None:
        """Cancel the running query and wait for its step to end."""
        pending = self._pending
        assert self.execution is not None and pending is not None
        query_id = self.execution.query.query_id
        deadline = time.monotonic() + _KILL_FOR_S
        while not pending.done():  # repeatedly, because the query may not have begun yet
            if time.monotonic() > deadline:
                log.warning("Query %s does not stop; waiting for its step to end.", query_id)
                await asyncio.wait({pending})
                return
            await asyncio.get_running_loop().run_in_executor(self._pool, self._engine.kill, query_id)
            await asyncio.wait({pending}, timeout=_KILL_AGAIN_S)

    async def _watched(self, work: Callable[[], T]) -> T:
        """A step that is cancelled when the client disconnects; a statement that changes data runs to its end."""
        assert self._gone is not None and self.execution is not None
        future = asyncio.ensure_future(self.long_step(work))
        await asyncio.wait({future, self._gone}, return_when=asyncio.FIRST_COMPLETED)
        if not future.done() and self.execution.reads_only:
            await self._cancel_step()
        return await future

    async def _wait_until_gone(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass

    async def _send_progress(self, execution: Execution) -> None:
        headers = {} if self._early else response.common_headers(self.query_id, self._engine.timezone, self._tag)
        headers["X-ClickHouse-Progress"] = response.progress(execution)
        self._early = True
        await self._send({"type": EARLY_HEADERS, "headers": response.encoded_headers(headers)})

    def _headers(self, error: ClickHouseError | None = None, encoding: str | None = None) -> dict[str, str]:
        execution = self.execution
        headers = {} if self._early else response.common_headers(self.query_id, self._engine.timezone, self._tag)
        if error is not None:
            headers["X-ClickHouse-Exception-Code"] = str(error.code)
            headers["Content-Type"] = "text/plain; charset=UTF-8"
        else:
            headers |= response.content_headers(execution.format if execution else None, encoding)
        if execution is not None:
            headers["X-ClickHouse-Summary"] = response.summary(execution)
        return headers

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        self.began = True
        encoded_headers = response.encoded_headers(headers)
        await self._send({"type": "http.response.start", "status": status, "headers": encoded_headers})

    async def _send_head(self, encoding: str | None, length: int | None) -> None:
        headers = self._headers(encoding=encoding)
        await self._start(200, headers if length is None else {**headers, "Content-Length": str(length)})

    async def _send_part(self, data: bytes) -> None:
        if data:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
