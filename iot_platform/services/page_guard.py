"""Protects Dagster's web application from other web pages. Its own pages and programs are let through."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iot_platform.security.http_access import HOST_REFUSED, host_is_trusted, origin_is_trusted

# Run configs and lists of partitions are far smaller.
MAX_BODY_BYTES = 8 * 1024**2
BODY_TIMEOUT_S = 30
POLICY_VIOLATION = 1008

RESPONSE_HEADERS = {
    # A page that shows the UI in a frame could make a user click "Launch run". Notebooks are frames of our own pages.
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused."""

    status: int
    reason: str


_ANOTHER_PAGE = Refusal(403, "Refused: another web page sent this request.\n")
_NOT_JSON = Refusal(415, "Refused: send changes by POST, as application/json.\n")
_TOO_LARGE = Refusal(413, f"Refused: the body is larger than {MAX_BODY_BYTES:,} bytes.\n")
_CUT_OFF = Refusal(400, "Refused: the body is incomplete.\n")
_TOO_SLOW = Refusal(408, f"Refused: the body did not arrive within {BODY_TIMEOUT_S} s.\n")


class PageGuard:
    """ASGI middleware in front of all requests of a web application, including websockets.

    A request must name this server (Host). It must not come from another page (Origin, Sec-Fetch-Site), unless it only
    opens a page. Changes need a POST of JSON, which browsers send to another origin only after asking it first.
    Programs send neither Origin nor Sec-Fetch-Site, and are let through.
    """

    def __init__(self, app: ASGIApp, trusted_hosts: Collection[str] = ()) -> None:
        self._app = app
        self._trusted_hosts = trusted_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or websocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                # Closed before it is accepted: the server answers the handshake with 403.
                await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refusal.reason.strip()})
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(RESPONSE_HEADERS)
            await send(message)

        if refusal is None and scope["method"] == "POST":
            body = await _read(receive)
            if isinstance(body, Refusal):
                refusal = body
            else:
                receive = _replay(body, receive)
        if refusal is not None:
            await PlainTextResponse(refusal.reason, refusal.status)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not host_is_trusted(hosts[0], self._trusted_hosts):
            return Refusal(403, HOST_REFUSED)
        if not all(origin_is_trusted(origin, hosts[0]) for origin in headers.getlist("origin")):
            return _ANOTHER_PAGE
        # Browsers send no Origin for images, scripts and links of another page, but Sec-Fetch-Site. Another port of the
        # same machine ("same-site") counts as another page, too.
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not _opens_page(scope, headers):
            return _ANOTHER_PAGE
        return _unfit(scope, headers)


def _opens_page(scope: Scope, headers: Headers) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _unfit(scope: Scope, headers: Headers) -> Refusal | None:
    """Refuse what is neither a page load nor a POST of JSON: any page can send forms and text/plain."""
    if scope["type"] == "websocket" or scope["method"] in ("GET", "HEAD"):
        return None
    media_types = [value.partition(";")[0].strip().lower() for value in headers.getlist("content-type")]
    if scope["method"] != "POST" or media_types != ["application/json"]:
        return _NOT_JSON
    length = headers.get("content-length", "0")
    return _TOO_LARGE if not length.isdecimal() or int(length) > MAX_BODY_BYTES else None


async def _read(receive: Receive) -> bytes | Refusal:
    """The whole body, or why it is refused."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return _CUT_OFF
                body += message.get("body", b"")
                if len(body) > MAX_BODY_BYTES:
                    return _TOO_LARGE
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        return _TOO_SLOW


def _replay(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that returns the body again, and then what follows it."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
