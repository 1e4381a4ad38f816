"""The preview's HTTP interface: the page, its files, and its data."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import resources
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders, QueryParams
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iot_platform.dashboard.clickhouse_pool import ClickHousePool, UnavailableError
from iot_platform.dashboard.tiles import Tiles, UnknownNameError
from iot_platform.errors import PlatformError
from iot_platform.security.http_access import HOST_REFUSED, host_is_trusted

STATIC_DIR = Path(__file__).resolve().parent / "static"
FILTER, CROSS_FILTER = "f.", "x."

# Plotly sets inline styles on its elements, and exports charts as images (data:, blob:).
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Files and data may change at any time: browsers ask each time, and an ETag saves sending unchanged files again.
    "Cache-Control": "no-cache",
}


def create_app(tiles: Tiles, pool: ClickHousePool, trusted_hosts: Collection[str] = ()) -> Starlette:
    """The application. ``trusted_hosts``: host names, besides the machine's own, that requests may use."""

    async def page(request: Request) -> Response:
        return FileResponse(STATIC_DIR / "index.html")

    async def plotly(request: Request) -> Response:
        return FileResponse(plotly_file(), media_type="text/javascript")

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    # These wait for ClickHouse. Starlette runs functions that are not async in threads.
    def dashboard(request: Request) -> Response:
        return JSONResponse(tiles.definition())

    def tile(request: Request) -> Response:
        query = request.query_params
        return JSONResponse(
            tiles.rows(request.path_params["name"], _prefixed(query, FILTER), _prefixed(query, CROSS_FILTER))
        )

    def suggest(request: Request) -> Response:
        return JSONResponse(tiles.suggestions(request.query_params.get("filter", "")))

    def version(request: Request) -> Response:
        found = pool.version()
        return JSONResponse({"version": found.fingerprint, "changed_at": found.changed_at})

    routes = [
        Route("/", page),
        Route("/vendor/plotly.min.js", plotly),
        Route("/healthz", healthz),
        Route("/api/dashboard", dashboard),
        Route("/api/tiles/{name}", tile),
        Route("/api/suggest", suggest),
        Route("/api/version", version),
        Mount("/static", StaticFiles(directory=STATIC_DIR)),
    ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(Guard, trusted_hosts=trusted_hosts),
            Middleware(GZipMiddleware, minimum_size=1000, compresslevel=4),
        ],
        exception_handlers={UnavailableError: _error(503), UnknownNameError: _error(404), PlatformError: _error(400)},
    )


def plotly_file() -> Path:
    """Plotly's JavaScript, from its Python package."""
    return Path(str(resources.files("plotly"))) / "package_data" / "plotly.min.js"


class Guard:
    """Refuses requests with an unknown Host header, and adds the security headers to every response.

    Without it, a foreign web page could read the data by DNS rebinding: it points its own domain name at this machine.
    """

    def __init__(self, app: ASGIApp, trusted_hosts: Collection[str]) -> None:
        self._app = app
        self._trusted_hosts = trusted_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        if not host_is_trusted(Request(scope).headers.get("host", ""), self._trusted_hosts):
            refusal = PlainTextResponse(HOST_REFUSED, 403)
            await refusal(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)


def _error(status: int) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status)

    return answer


def _prefixed(query: QueryParams, prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in query.items() if key.startswith(prefix)}
