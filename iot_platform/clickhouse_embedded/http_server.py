"""The HTTP server: uvicorn on one listening socket, until a signal arrives or no process uses the server."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import signal
import socket
import time
from pathlib import Path
from types import FrameType

import uvicorn

from iot_platform.clickhouse_embedded.app import App
from iot_platform.clickhouse_embedded.connection import Connection
from iot_platform.clickhouse_embedded.listener import KEEP_ALIVE_S

GRACE_S = 15  # after SIGTERM and _DRAIN_S, how long connections may take to close

_DRAIN_S = 5.0  # after SIGTERM, how long running queries may go on before they are cancelled
_UNUSED_S = 2.0
_FIRST_USER_S = 10.0
_POLL_S = 0.25
_CHECK_CONNECTIONS_S = 1.0


async def answer_requests(app: App, listener: socket.socket, users_lock: Path | None) -> None:
    """Answer requests until SIGTERM or SIGINT; with ``users_lock`` also until no process holds that lock."""
    config = uvicorn.Config(
        app,
        http=Connection,
        log_level="error",
        access_log=False,
        lifespan="off",
        server_header=False,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    # Errors in mid-stream are reported by ending the response early. uvicorn would log each of them.
    logging.getLogger("uvicorn.error").addFilter(
        lambda record: "without completing response" not in record.getMessage()
    )
    server = uvicorn.Server(config)
    # uvicorn raises the signal again after it has stopped. That is ignored, so that the clean-up of this process runs.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)
    helpers = [
        asyncio.create_task(_cancel_queries_at_exit(app, server)),
        asyncio.create_task(_close_overdue_connections(server)),
    ]
    if users_lock is not None:
        helpers.append(asyncio.create_task(_stop_when_unused(server, users_lock)))
    await server.serve(sockets=[listener])
    for helper in helpers:
        helper.cancel()


def _ignore(number: int, frame: FrameType | None) -> None:
    return None


async def _cancel_queries_at_exit(app: App, server: uvicorn.Server) -> None:
    while not server.should_exit:
        await asyncio.sleep(_POLL_S)
        app.sessions.expire()
    await asyncio.sleep(_DRAIN_S)
    await asyncio.to_thread(app.engine.kill_all)


async def _close_overdue_connections(server: uvicorn.Server) -> None:
    while True:
        await asyncio.sleep(_CHECK_CONNECTIONS_S)
        now = time.monotonic()
        for connection in list(server.server_state.connections):
            connection.close_if_overdue(now)  # type: ignore[union-attr]


async def _stop_when_unused(server: uvicorn.Server, users_lock: Path) -> None:
    """Stop when no process has held the users' lock for a while.

    The server then keeps the lock until it ends, so that a new user waits and starts another server.
    """
    started = time.monotonic()
    free_since: float | None = None
    had_user = False
    with users_lock.open("a") as lock:
        while not server.should_exit:
            now = time.monotonic()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                had_user, free_since = True, None
            else:
                free_since = free_since or now
                if now - free_since >= _UNUSED_S and (had_user or now - started >= _FIRST_USER_S):
                    server.should_exit = True
                    await asyncio.Event().wait()
                fcntl.flock(lock, fcntl.LOCK_UN)
            await asyncio.sleep(_POLL_S)
