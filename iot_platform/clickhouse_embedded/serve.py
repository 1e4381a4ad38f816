"""The server process: one data directory, one port, from start to a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import ipaddress
import logging
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from iot_platform.clickhouse_embedded import thread_statistics
from iot_platform.clickhouse_embedded.directory import ServerDirectory
from iot_platform.clickhouse_embedded.errors import DirectoryInUseError, MissingPackageError
from iot_platform.clickhouse_embedded.listener import listening
from iot_platform.clickhouse_embedded.options import ServerOptions
from iot_platform.clickhouse_embedded.private_files import private_directory
from iot_platform.clickhouse_embedded.record import bracketed, read_record, write_record

if TYPE_CHECKING:
    from iot_platform.clickhouse_embedded.app import App

log = logging.getLogger(__name__)

_OPEN_FILES = 65_536  # connections, pipes and the engine's own files; the usual limit is 1,024
_CLOSE_S = 15


def serve(options: ServerOptions, ready: Callable[[str], None]) -> None:
    """Own the data directory and answer requests until SIGTERM, SIGINT or, with ``stop_when_unused``, no user is left.

    ``ready`` gets the URL. Raises EmbeddedServerError when the server cannot start, DirectoryInUseError when another
    server uses the directory.
    """
    if not _is_loopback(options.host):
        log.warning(
            "Warning: %s is reachable from other machines. Queries and the password travel unencrypted.", options.host
        )
    directory = ServerDirectory(private_directory(options.directory))
    # Files outside the data directory are opened before Landlock restricts the process.
    draft = directory.record.with_suffix(".tmp")
    with _owned(directory), listening(options) as listener, draft.open("w") as record:
        _allow_open_files()
        app = _start_engine(options, directory)
        try:
            from iot_platform.clickhouse_embedded.http_server import answer_requests

            port = listener.getsockname()[1]
            write_record(record, directory.record, options.host, port)
            ready(f"http://{bracketed(options.host)}:{port}")
            asyncio.run(answer_requests(app, listener, directory.users_lock if options.stop_when_unused else None))
        finally:
            directory.record.unlink(missing_ok=True)
            _close(app)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _start_engine(options: ServerOptions, directory: ServerDirectory) -> App:
    # The engine takes its time zone from the process. In UTC, a time without zone means the same on every machine.
    os.environ["TZ"] = "UTC"
    time.tzset()
    # Imported late: a missing package must give the message below, and only once this process owns the directory.
    try:
        from iot_platform.clickhouse_embedded.access import read_or_create_password
        from iot_platform.clickhouse_embedded.config import write_config

        password = options.password or read_or_create_password(directory.password)
        config = write_config(directory.config, options.memory_bytes)
        os.chdir(directory.path)  # Engine uses relative paths, because the path may contain any characters
        _restrict_process(directory, config.parent)
        # This loads the engine, which starts threads and writes temporary files: only after the restriction.
        is_off = thread_statistics.turn_off()
        from iot_platform.clickhouse_embedded.app import App
        from iot_platform.clickhouse_embedded.engine import Engine
    except ImportError as error:
        raise MissingPackageError(error.name or str(error)) from error
    if not is_off and sys.platform == "linux":
        log.warning(
            "The engine's statistics of threads could not be turned off. Under Landlock they make small queries slower."
        )
    return App(Engine(directory.data, config), password, options.trusted_hosts)


def _restrict_process(directory: ServerDirectory, config: Path) -> None:
    from iot_platform.clickhouse_embedded.lockdown import Rights, restrict_process

    if directory.temporary.exists():
        shutil.rmtree(directory.temporary)
    for path in (directory.data, directory.temporary):
        private_directory(path)
    os.environ["TMPDIR"] = tempfile.tempdir = str(directory.temporary)
    directory.users_lock.touch(mode=0o600)
    rights = Rights(
        writable_dirs=[directory.data, directory.temporary],
        readable_dirs=[config],
        writable_files=[directory.users_lock],
        renames_in=directory.path,
    )
    missing = restrict_process(rights)
    if missing:
        log.warning("%s The engine's grants and the check of statements still protect it.", missing)


def _close(app: App) -> None:
    # The engine may wait for a query that does not stop. The process must still end within a bounded time.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    signal.alarm(_CLOSE_S)
    app.close()
    # The alarm stays: the interpreter still waits for the threads of queries that do not stop.


@contextlib.contextmanager
def _owned(directory: ServerDirectory) -> Iterator[None]:
    """Lock the directory for this process. The kernel releases the lock even after kill -9."""
    with directory.server_lock.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _in_use(directory, lock) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _in_use(directory: ServerDirectory, lock: IO[str]) -> DirectoryInUseError:
    record = read_record(directory.record)
    if record is not None:
        owner = f"the server with pid {record.pid}, running since {record.started_at} at {record.url}."
    else:
        lock.seek(0)
        pid = lock.read().strip() or "unknown"
        owner = f"the process with pid {pid}, which is starting or stopping. Try again in a moment."
    return DirectoryInUseError(f"The data directory {directory.data} is in use by {owner}", record)
