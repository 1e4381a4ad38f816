"""The server process: one data directory, one port, from start to a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import resource
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING

from iot_platform.clickhouse_embedded.directory import ServerDirectory
from iot_platform.clickhouse_embedded.record import read_record, write_record
from iot_platform.errors import ServerError
from iot_platform.security.private_files import private_directory, state_directory
from iot_platform.settings import Settings

if TYPE_CHECKING:
    import uvicorn

    from iot_platform.clickhouse_embedded.app import App

log = logging.getLogger(__name__)

_DRAIN_S = 5.0  # running queries may finish for so long after SIGTERM, then they are cancelled
_GRACE_S = 15  # and for so long connections may close
_UNUSED_S = 2.0
_FIRST_USER_S = 10.0
_POLL_S = 0.25
_KEEP_ALIVE_S = 60
_CHECK_CONNECTIONS_S = 1.0
_OPEN_FILES = 65_536  # connections, pipes and the engine's own files; the usual limit is 1,024


class DirectoryInUseError(ServerError):
    """Another server holds the data directory."""


def serve(
    settings: Settings, host: str, port: int | None, stop_when_unused: bool, ready: Callable[[str], None]
) -> None:
    """Own the data directory and answer until SIGTERM, SIGINT or (``stop_when_unused``) nobody needs the server.

    ``port`` None: the preferred one of the settings, or any free one when that is taken. ``ready`` gets the URL.
    """
    files = ServerDirectory(settings.clickhouse_dir)
    state_directory(settings.root, files.path.name)
    # Whatever the server opens outside its data directory it opens before it locks itself in.
    record = files.record.with_suffix(".tmp")
    with _owned(files), _listening(settings, host, port) as listener, record.open("w") as draft:
        _allow_open_files()
        app = _start_engine(settings, files)
        try:
            bound = listener.getsockname()[1]
            write_record(draft, files.record, host, bound)
            ready(f"http://{_shown(host)}:{bound}")
            asyncio.run(_answer(app, listener, files, stop_when_unused))
        finally:
            files.record.unlink(missing_ok=True)
            _close(app)


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _start_engine(settings: Settings, files: ServerDirectory) -> App:
    # The engine takes its time zone from the process; one text must mean one instant on every machine.
    os.environ["TZ"] = "UTC"
    time.tzset()
    # Imported late: a missing extra must end in the message below, and only once the directory is ours.
    try:
        from iot_platform.clickhouse_embedded.access import read_or_create_password
        from iot_platform.clickhouse_embedded.config import write_config

        password = read_or_create_password(files.password)
        config = write_config(files.path / "config", settings.clickhouse_memory_bytes)
        os.chdir(files.path)  # see Engine: the rest of the path may have any name
        _lock_in(files, config.parent)
        # This loads the engine, which starts threads and writes temporary files: only behind the fence.
        from iot_platform.clickhouse_embedded.app import App
        from iot_platform.clickhouse_embedded.engine import Engine
    except ImportError as error:
        raise ServerError(
            f"The embedded ClickHouse needs the package {error.name}: pip install 'iot-platform[embedded]', "
            "or set IOT_CLICKHOUSE_URL to a ClickHouse server."
        ) from error
    return App(Engine(files.data, config), password)


def _lock_in(files: ServerDirectory, config: Path) -> None:
    from iot_platform.clickhouse_embedded.lockdown import Rights, lock_in

    if files.temporary.exists():
        shutil.rmtree(files.temporary)
    for directory in (files.data, files.temporary):
        private_directory(directory)
    os.environ["TMPDIR"] = tempfile.tempdir = str(files.temporary)
    files.users_lock.touch(mode=0o600)
    missing = lock_in(Rights([files.data, files.temporary], [config], [files.users_lock], files.path))
    if missing:
        log.warning("%s The other two fences hold: see SECURITY.md.", missing)


def _close(app: App) -> None:
    # The engine may wait for a query that does not stop; the process must end in a bounded time all the same.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    signal.alarm(_GRACE_S)
    app.close()
    # The alarm stays: the interpreter still waits for the threads of queries that do not stop.


@contextlib.contextmanager
def _owned(files: ServerDirectory) -> Iterator[None]:
    """Hold the data directory; the kernel gives it back even after kill -9."""
    with files.server_lock.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryInUseError(_who_holds(files, lock)) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _who_holds(files: ServerDirectory, lock: IO[str]) -> str:
    record = read_record(files.record)
    if record is not None:
        return (
            f"The data directory {files.data} is in use by the server with pid {record.pid}, "
            f"running since {record.started_at} at http://{_shown(record.host)}:{record.port}. "
            "Use that one, or stop it with: iot-platform db stop"
        )
    lock.seek(0)
    return (
        f"The data directory {files.data} is in use by the process with pid {lock.read().strip() or 'unknown'}, "
        "which is starting or stopping. Try again in a moment."
    )


@contextlib.contextmanager
def _listening(settings: Settings, host: str, port: int | None) -> Iterator[socket.socket]:
    wanted = [settings.clickhouse_port, 0] if port is None else [port]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for position, number in enumerate(wanted):
        # Named as TCP, because asyncio turns Nagle's algorithm off only then (40 ms for every small answer otherwise).
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it: the kernel closes those whose other end vanished without a word.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEP_ALIVE_S)
        try:
            listener.bind((host, number))
            listener.listen(1024)
        except OSError as error:
            listener.close()
            if position + 1 < len(wanted):
                continue
            raise ServerError(
                f"Cannot listen on {_shown(host)}:{number}: {error.strerror}. Choose another --port."
            ) from None
        with listener:
            yield listener
        return


async def _answer(app: App, listener: socket.socket, files: ServerDirectory, stop_when_unused: bool) -> None:
    import uvicorn

    from iot_platform.clickhouse_embedded.connection import Connection

    config = uvicorn.Config(
        app,
        http=Connection,
        log_level="error",
        access_log=False,
        lifespan="off",
        server_header=False,
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    # A client that must be cut off in mid-answer is no news for the log.
    logging.getLogger("uvicorn.error").addFilter(
        lambda record: "without completing response" not in record.getMessage()
    )
    server = uvicorn.Server(config)
    # uvicorn raises the signal again when it is done; by then the clean-up here must still run.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)
    helpers = [
        asyncio.create_task(_cancel_queries_at_exit(app, server)),
        asyncio.create_task(_close_overdue_connections(server)),
    ]
    if stop_when_unused:
        helpers.append(asyncio.create_task(_stop_when_unused(server, files.users_lock)))
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


async def _stop_when_unused(server: uvicorn.Server, users: Path) -> None:
    """Stop when no command has held the users' lock for a while; keep the lock then, so that none comes in between."""
    started = time.monotonic()
    free_since: float | None = None
    had_user = False
    with users.open("a") as lock:
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


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
