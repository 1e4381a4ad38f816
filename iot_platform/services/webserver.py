"""Dagster's webserver behind PageGuard: ``python -m iot_platform.services.webserver``, instead of dagster-webserver.

The original webserver accepts mutations by GET and for any Host and Origin: an image on any web page can launch a run.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import click
import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.log import configure_loggers
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver
from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from iot_platform.security.private_files import keep_new_files_private
from iot_platform.services.page_guard import PageGuard
from iot_platform.settings import Settings

# As in dagster_webserver.cli.
STATEMENT_TIMEOUT_MS, POOL_RECYCLE_S, POOL_MAX_OVERFLOW = 15_000, 3600, 20
LIVE_DATA_POLL_MS = 2000

MAX_WEBSOCKET_BYTES = 1024**2
GRACE_S = 5


class GuardedWebserver(DagsterWebserver[Any, Any]):
    """Dagster's web application behind PageGuard. GET /graphql accepts only queries."""

    def __init__(self, process_context: Any, trusted_hosts: Collection[str] = ()) -> None:
        self._trusted_hosts = trusted_hosts
        super().__init__(process_context, live_data_poll_rate=LIVE_DATA_POLL_MS)

    def build_middleware(self) -> list[Middleware]:
        """Dagster's middleware, after the guard."""
        return [Middleware(PageGuard, trusted_hosts=self._trusted_hosts), *super().build_middleware()]

    async def graphql_http_endpoint(self, request: Request) -> Response:
        """Answer GraphQL over HTTP. Refuses everything but queries by GET, and JSON that is not a single request."""
        if request.method == "POST":
            try:
                is_request = isinstance(await request.json(), dict)
            except (ValueError, RecursionError):
                is_request = False
            if not is_request:
                return PlainTextResponse('The body must be one JSON object {"query": ...}.\n', 400)
        elif (query := request.query_params.get("query")) is not None and not holds_only_queries(query):
            return PlainTextResponse("GET accepts only queries. Send everything else by POST.\n", 405)
        answer: Response = await super().graphql_http_endpoint(request)
        return answer


def holds_only_queries(text: str) -> bool:
    """Whether a GraphQL document can be parsed and all of its operations are queries."""
    try:
        document = parse(text)
    except (GraphQLError, RecursionError):
        return False
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    return all(operation.operation is OperationType.QUERY for operation in operations)


@click.command()
@click.option("--host", "-h", default="127.0.0.1", show_default=True, help="Address to bind to.")
@click.option("--port", "-p", default=3000, show_default=True, help="Port of the UI and of GraphQL.")
@click.option("--workspace", "-w", required=True, type=click.Path(exists=True), help="workspace.yaml to load.")
def main(host: str, port: int, workspace: str) -> None:
    """Serve the Dagster UI and its GraphQL for the instance of DAGSTER_HOME, until SIGINT or SIGTERM.

    Requests that name another host than this machine (IOT_TRUSTED_HOSTS: further names) or come from other web pages
    are refused.
    """
    keep_new_files_private()
    settings = Settings()
    configure_loggers(log_level="INFO")
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(STATEMENT_TIMEOUT_MS, POOL_RECYCLE_S, POOL_MAX_OVERFLOW)
        with WorkspaceProcessContext(
            instance, version=__version__, workspace_load_target=WorkspaceFileTarget(paths=[workspace])
        ) as context:
            # h11 limits the request line and headers to 64 KiB; httptools does not.
            uvicorn.run(
                GuardedWebserver(context, (*settings.trusted_hosts, host.lower())).create_asgi_app(),
                host=host,
                port=port,
                log_level="warning",
                http="h11",
                ws_max_size=MAX_WEBSOCKET_BYTES,
                lifespan="off",
                timeout_graceful_shutdown=GRACE_S,
            )


if __name__ == "__main__":
    main()
