"""The HTTP interface: routes, logins and errors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from iot_platform.clickhouse_embedded import access
from iot_platform.clickhouse_embedded.body import Body
from iot_platform.clickhouse_embedded.dispatch import execute
from iot_platform.clickhouse_embedded.engine import MAX_QUERIES, Engine
from iot_platform.clickhouse_embedded.errors import ClickHouseError, from_engine
from iot_platform.clickhouse_embedded.exchange import Exchange
from iot_platform.clickhouse_embedded.execution import Execution
from iot_platform.clickhouse_embedded.http_access import host_is_trusted, origin_is_trusted
from iot_platform.clickhouse_embedded.logins import FailedLogins
from iot_platform.clickhouse_embedded.multipart import is_form, read_form, send_tables
from iot_platform.clickhouse_embedded.request import read_request, url_parameters
from iot_platform.clickhouse_embedded.sessions import Sessions
from iot_platform.clickhouse_embedded.statement_checker import StatementChecker

log = logging.getLogger(__name__)

_DRAIN_BYTES = 256 * 1024 * 1024
_DRAIN_REFUSED_BYTES = 1024 * 1024
_DRAIN_REFUSED_S = 2.0
_SHORT_BYTES = 16 * 1024  # URLs up to this length are parsed without a worker thread


class App:
    """The ASGI application over one engine."""

    def __init__(self, engine: Engine, password: str, trusted_hosts: Collection[str] = ()) -> None:
        self.engine = engine
        self.sessions = Sessions(engine)
        self._password = password
        self._trusted_hosts = trusted_hosts
        self._failed_logins = FailedLogins()
        self._checker = StatementChecker(engine, password)
        # More threads than queries, so that KILL QUERY and the clean-up always find a free one.
        self.pool = ThreadPoolExecutor(MAX_QUERIES + 28, "query")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        simple = _simple_response(request, self._trusted_hosts)
        if simple is None:
            await self._query(request, send)
        else:
            await simple(scope, receive, send)

    async def _query(self, request: Request, send: Send) -> None:
        exchange = Exchange(self.engine, self.pool, request, send)
        try:
            await self._run(request, exchange)
        except ClickHouseError as error:
            await _fail(request, exchange, error)
        except ClientDisconnect:
            pass
        except Exception as error:  # noqa: BLE001 - every failure is reported to the client
            log.exception("request %s failed", exchange.query_id)
            await _fail(request, exchange, from_engine(error))
        finally:
            await exchange.close()

    async def _run(self, request: Request, exchange: Exchange) -> None:
        query_string = request.scope["query_string"]
        if len(query_string) > _SHORT_BYTES:
            pairs = await exchange.step(url_parameters, query_string)
        else:
            pairs = url_parameters(query_string)
        await self._log_in(request, dict(pairs))
        exchange.logged_in = True
        form: FormData | None = None
        files: set[str] = set()
        if is_form(request):
            form, fields = await read_form(request)
            pairs += fields
            files = {name for name, value in form.multi_items() if not isinstance(value, str)}
        query = read_request(pairs, request.headers, request.method != "POST", files)
        exchange.query_id = query.query_id
        execution = Execution(self.engine, self.sessions, self._checker, query)
        exchange.execution = execution
        await exchange.step(execution.open)
        if form is not None:
            await send_tables(form, query, exchange)
            await form.close()
            await exchange.respond(lambda: execution.run(query.sql))
        else:
            await execute(exchange, execution, Body(request, query, exchange.step))

    async def _log_in(self, request: Request, parameters: dict[str, str]) -> None:
        given = access.Credentials("", "")
        try:
            given = access.credentials(request.headers, parameters)
            given.check(self._password)
        except ClickHouseError:
            address = request.client.host if request.client else ""
            await asyncio.sleep(self._failed_logins.add(address, given.user))
            raise

    def close(self) -> None:
        """End sessions and the engine."""
        self.sessions.close()
        self.pool.shutdown(wait=False, cancel_futures=True)
        self._checker.close()
        self.engine.close()


def _simple_response(request: Request, trusted_hosts: Collection[str]) -> PlainTextResponse | None:
    """The response to a request that is not a query, or is refused; None: it is a query."""
    # Of several headers of one name, a proxy may have checked another one.
    hosts, origins, path = request.headers.getlist("host"), request.headers.getlist("origin"), request.scope["path"]
    if (
        len(hosts) != 1
        or not host_is_trusted(hosts[0], trusted_hosts)
        or not all(origin_is_trusted(origin, hosts[0]) for origin in origins)
    ):
        text = "Refused: call this server by its address or localhost (Host header), and not from a web page.\n"
        return PlainTextResponse(text, 403)
    if path in ("/ping", "/replicas_status"):
        return PlainTextResponse("Ok.\n")
    if path != "/":
        return PlainTextResponse(f"There is no handle {path}\n", 404)
    if request.method not in ("GET", "HEAD", "POST"):
        return PlainTextResponse("Use GET or POST.\n", 405)
    if request.method != "POST" and not request.scope["query_string"]:
        return PlainTextResponse("Ok.\n")
    return None


async def _fail(request: Request, exchange: Exchange, error: ClickHouseError) -> None:
    if exchange.began:
        await exchange.fail(error)
        return
    if exchange.logged_in:
        await _drain(request, _DRAIN_BYTES)
    elif request.headers.get("expect", "").lower() != "100-continue":  # such a client has sent no body yet
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_REFUSED_S):
                await _drain(request, _DRAIN_REFUSED_BYTES)
    await exchange.fail(error, close=not exchange.logged_in)


async def _drain(request: Request, limit: int) -> None:
    """Read the rest of the body: a client that is still sending would see a broken pipe instead of the error."""
    drained = 0
    try:
        async for data in request.stream():
            drained += len(data)
            if drained > limit:
                return
    except (ClientDisconnect, RuntimeError):
        return  # the client disconnected, or the body has been read already
