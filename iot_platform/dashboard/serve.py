"""The preview as a server process."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from iot_platform.clickhouse_embedded.record import bracketed
from iot_platform.dashboard.app import create_app
from iot_platform.dashboard.clickhouse_pool import ClickHousePool
from iot_platform.dashboard.tiles import Tiles, tables_of
from iot_platform.errors import PlatformError
from iot_platform.looker.project import DASHBOARD, load_project
from iot_platform.settings import Settings

_GRACE_S = 5


def serve(settings: Settings, port: int, ready: Callable[[str], None]) -> None:
    """Serve the dashboard on settings.host until SIGINT or SIGTERM; call ``ready`` with the URL once it answers.

    Raises LookmlError when the LookML project is invalid, PlatformError when the port is taken.
    """
    project = load_project()
    dashboard = project.dashboards[DASHBOARD]
    pool = ClickHousePool(settings, sorted(tables_of(project, dashboard, settings)))
    app = create_app(Tiles(project, dashboard, pool, settings), pool, (*settings.trusted_hosts, settings.host.lower()))
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, port))
        except OSError as error:
            raise PlatformError(
                f"Cannot listen on {settings.host}:{port}: {error.strerror}. Choose another --port."
            ) from error
        # From here on, connections wait in the socket's queue until uvicorn accepts them.
        listener.listen(1024)
        ready(f"http://{bracketed(settings.host)}:{listener.getsockname()[1]}")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=_GRACE_S
        )
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            pool.close()
