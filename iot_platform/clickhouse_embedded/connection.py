"""The HTTP protocol of one connection: uvicorn's, with limits of size and time, long URLs and early headers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

# A message of the application that ASGI does not have: header lines to send before "http.response.start"
# (X-ClickHouse-Progress). The status is then 200, whatever "http.response.start" says.
EARLY_HEADERS = "clickhouse_embedded.response.early"
_CONTENT_LENGTH, _CONNECTION = b"content-length", b"connection"


@dataclass(frozen=True)
class Limits:
    """Limits of a client. Uvicorn itself keeps at most 64 KiB of a body that was not read yet."""

    connections: int = 500
    url_bytes: int = 1024 * 1024  # as ClickHouse's http_max_uri_size
    header_bytes: int = 128 * 1024  # all headers together
    head_s: float = 30  # for URL and headers, from their first byte; also for the first byte of a connection
    body_idle_s: float = 120  # between two parts of a body
    send_idle_s: float = 300  # while a client does not read its response: it may be processing the first part
    refusal_s: float = 2  # keep reading after a refusal: a client that is still sending would not see it otherwise


class Connection(HttpToolsProtocol):
    """One connection; ``close_if_overdue`` must be called from time to time."""

    limits = Limits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._url: list[bytes] = []  # joined once at the end, because a URL may come byte by byte
        self._url_bytes = self._header_bytes = 0
        self._head_bytes: int | None = 0  # received of the head that is awaited; None: a body is awaited
        self._refused = False
        self._since = self._last_data = self._last_sent = time.monotonic()
        self._unsent_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"Too many connections: {self.limits.connections} at most.")

    def data_received(self, data: bytes) -> None:
        """Parse what the client sent."""
        if self._refused:
            return
        self._last_data = time.monotonic()
        if self._head_bytes is not None:
            if not self._head_bytes:
                self._since = self._last_data
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes is not None and not self._refused:
            self._check_head(self._head_bytes - self._url_bytes)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._url, self._url_bytes, self._header_bytes = [], 0, 0

    def on_url(self, url: bytes) -> None:
        """A piece of the URL."""
        self._url.append(url)
        self._url_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._header_bytes += len(name) + len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request."""
        self._head_bytes = None
        if self._check_head(self._header_bytes):
            # uvicorn's URL parser accepts at most 64 KiB, so it gets only the path.
            self.url, _, query = b"".join(self._url).partition(b"?")
            super().on_headers_complete()
            self.scope["query_string"] = query.partition(b"#")[0]

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete; the next one may follow."""
        self._head_bytes = 0
        if not self._refused:
            super().on_message_complete()

    def close_if_overdue(self, now: float) -> None:
        """Close the connection when its client has kept it waiting too long; ``now`` is time.monotonic()."""
        if self._is_overdue(now):
            self.transport.abort()

    def _is_overdue(self, now: float) -> bool:
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent_bytes:
            self._unsent_bytes, self._last_sent = unsent, now
        if now - self._last_sent > self.limits.send_idle_s:
            return True
        if self._refused:
            return now - self._since > self.limits.refusal_s
        if self._head_bytes is None:
            return not self.flow.read_paused and now - self._last_data > self.limits.body_idle_s
        if self.cycle is not None and (not self.cycle.response_complete or not self._head_bytes):
            return False  # a response is being sent, or uvicorn's keep-alive timeout applies
        return now - self._since > self.limits.head_s

    def _check_head(self, header_bytes: int) -> bool:
        if self._url_bytes > self.limits.url_bytes:
            text = f"The URL is longer than {self.limits.url_bytes} bytes; send the query in the body."
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, text)
        elif header_bytes > self.limits.header_bytes:
            text = f"The headers are longer than {self.limits.header_bytes} bytes."
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)
        return not self._refused

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self._refused = True
        self._since = time.monotonic()
        body = f"{text}\n".encode()
        head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.write_eof()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, _WithEarlyHeaders(app, cycle))  # type: ignore[arg-type]


class _WithEarlyHeaders:
    """The application of one request, which may send EARLY_HEADERS."""

    def __init__(self, app: ASGIApp, cycle: RequestResponseCycle) -> None:
        self._app = app
        self._cycle = cycle
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def forward(message: Message) -> None:
            if message["type"] == EARLY_HEADERS:
                self._send_early(message["headers"])
            elif self._begun and message["type"] == "http.response.start":
                self._end_head(message["headers"])
            else:
                await send(message)

        await self._app(scope, receive, forward)

    def _send_early(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        if not self._cycle.disconnected:
            status = b"" if self._begun else STATUS_LINE[HTTPStatus.OK]
            self._begun = True
            self._cycle.transport.write(status + _lines(headers))

    def _end_head(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Do what uvicorn does with "http.response.start", except for the status line."""
        cycle = self._cycle
        if cycle.disconnected:
            return
        given = {name.lower(): value for name, value in headers}
        cycle.response_started, cycle.waiting_for_100_continue = True, False
        cycle.chunked_encoding = _CONTENT_LENGTH not in given
        cycle.expected_content_length = int(given.get(_CONTENT_LENGTH, b"0"))
        cycle.keep_alive = cycle.keep_alive and given.get(_CONNECTION, b"").lower() != b"close"
        more = [(b"transfer-encoding", b"chunked")] if cycle.chunked_encoding else []
        if not cycle.keep_alive and _CONNECTION not in given:
            more.append((_CONNECTION, b"close"))
        cycle.transport.write(_lines([*headers, *more]) + b"\r\n")


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(name + b": " + value + b"\r\n" for name, value in headers)
