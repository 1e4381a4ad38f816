"""Start the embedded server of this home when a command needs it, share it between commands, and stop it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil

from iot_platform.clickhouse.endpoint import Endpoint, endpoint, external_endpoint
from iot_platform.clickhouse_embedded.command_line import MODULE, as_arguments
from iot_platform.clickhouse_embedded.directory import ServerDirectory
from iot_platform.clickhouse_embedded.errors import DirectoryInUseError
from iot_platform.clickhouse_embedded.options import ServerOptions
from iot_platform.clickhouse_embedded.record import ServerRecord, has_ended, read_record
from iot_platform.errors import ServerError
from iot_platform.security.child_environment import python_environment
from iot_platform.security.private_files import state_directory
from iot_platform.settings import PACKAGE_DIR, Settings

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 45.0
_POLL_S = 0.05
_LOG_TAIL_LINES = 20
_MAX_LOG_BYTES = 1024 * 1024
_KEPT_VARIABLES = frozenset(
    {"PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
)
_KEPT_PREFIXES = ("LC_", "PYTHON")


def server_options(
    settings: Settings, *, host: str | None = None, port: int | None = None, stop_when_unused: bool = False
) -> ServerOptions:
    """The options of this home's server. Without ``port``: IOT_CLICKHOUSE_PORT, or any free port if that is taken."""
    return ServerOptions(
        directory=settings.clickhouse_dir,
        host=host or settings.host,
        port=settings.clickhouse_port if port is None else port,
        any_port_if_taken=port is None,
        memory_bytes=settings.clickhouse_memory_bytes,
        stop_when_unused=stop_when_unused,
    )


@contextlib.contextmanager
def running_server(settings: Settings) -> Iterator[Endpoint]:
    """A ClickHouse server for the time of the block: the configured one, the running one, or one started for it.

    A command that needs the embedded server holds the users' lock (shared). The command that started the server stops
    it when no other command holds the lock. If that command was killed, the server finds the lock free and stops.
    """
    external = external_endpoint(settings)
    if external is not None:
        yield external
        return
    directory = ServerDirectory(settings.clickhouse_dir)
    state_directory(settings.root, directory.path.name)
    deadline = time.monotonic() + _START_TIMEOUT_S
    with directory.users_lock.open("a") as lock:
        _take_users_lock(lock.fileno(), directory, deadline)
        found = endpoint(settings)
        process = None
        if found is None:
            process, found = _start(settings, directory, deadline)
        try:
            yield found
        finally:
            if process is not None:
                _stop_if_unused(process, lock.fileno())


def stop_server(settings: Settings) -> ServerRecord | None:
    """Stop the embedded server of this home; returns its record, or None when none was running."""
    directory = ServerDirectory(settings.clickhouse_dir)
    record = read_record(directory.record)
    if record is None:
        return None
    try:
        process = psutil.Process(record.pid)
        process.terminate()
    except psutil.NoSuchProcess:
        return record
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while not has_ended(process):
        if time.monotonic() > deadline:
            raise ServerError(
                f"The server with pid {record.pid} did not stop within {_STOP_TIMEOUT_S:.0f} s. See {directory.log}"
            )
        time.sleep(_POLL_S)
    return record


def _take_users_lock(lock: int, directory: ServerDirectory, deadline: float) -> None:
    """Take a shared lock on users.lock. While a server stops, another process holds that lock exclusively."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ServerError(
                    f"Waited too long for {directory.users_lock}: a server is stopping. {_tail(directory)}"
                ) from None
            time.sleep(_POLL_S)


def _start(
    settings: Settings, directory: ServerDirectory, deadline: float
) -> tuple[subprocess.Popen[bytes] | None, Endpoint]:
    """Start a server in the background. If another server takes the data directory first, use that one."""
    process: subprocess.Popen[bytes] | None = _spawn(settings, directory)
    while time.monotonic() < deadline:
        code = process.poll() if process is not None else None
        if code is not None:
            if code != DirectoryInUseError.exit_code:
                raise ServerError(
                    f"The embedded ClickHouse did not start (exit code {code}). Fix the error in the log, or set "
                    f"IOT_CLICKHOUSE_URL to a ClickHouse server. {_tail(directory)}"
                )
            process = None
        found = endpoint(settings)
        if found is not None:
            return process, found
        if process is None and not _is_owned(directory):
            process = _spawn(settings, directory)  # the server that owned the directory was stopping
        time.sleep(_POLL_S)
    if process is not None:
        process.kill()
        process.wait()
    raise ServerError(f"The embedded ClickHouse did not answer within {_START_TIMEOUT_S:.0f} s. {_tail(directory)}")


def _spawn(settings: Settings, directory: ServerDirectory) -> subprocess.Popen[bytes]:
    if directory.log.exists() and directory.log.stat().st_size > _MAX_LOG_BYTES:
        directory.log.write_bytes(b"")
    with directory.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", MODULE, *as_arguments(server_options(settings, stop_when_unused=True))],
            env=_server_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in a terminal is for the command, not for the server
        )


def _server_environment(settings: Settings) -> dict[str, str]:
    """Only the variables that the server needs: its environment must contain no password and no token.

    The server does not read IOT_HOME. The variable shows people and tools which home the process belongs to.
    """
    kept = {
        name: value for name, value in os.environ.items() if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)
    }
    paths = [str(PACKAGE_DIR.parent), os.environ.get("PYTHONPATH", "")]
    return python_environment({**kept, "IOT_HOME": str(settings.root), "PYTHONPATH": os.pathsep.join(paths)})


def _is_owned(directory: ServerDirectory) -> bool:
    with directory.server_lock.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _stop_if_unused(process: subprocess.Popen[bytes], lock: int) -> None:
    """Stop the server unless another command needs it. The lock makes new commands wait until it has stopped."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(directory: ServerDirectory) -> str:
    try:
        lines = directory.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    except OSError:
        return f"There is no log at {directory.log}."
    return "\n".join([f"The end of {directory.log}:", *lines])
