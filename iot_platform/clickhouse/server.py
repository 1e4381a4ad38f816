"""Which ClickHouse to talk to: the configured one, or the embedded one of this home, started when it is needed."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil

from iot_platform.errors import ServerError
from iot_platform.security.child_environment import python_environment
from iot_platform.security.private_files import state_directory
from iot_platform.settings import PACKAGE_DIR, Settings

EXIT_IN_USE = 3  # `db serve` lost the data directory to another server

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 45.0
_PING_TIMEOUT_S = 5.0
_POLL_S = 0.05
_LOG_TAIL_LINES = 20
_MAX_LOG_BYTES = 1024 * 1024
_CLOCK_TOLERANCE_S = 2.0
_KEPT = frozenset({"PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH"})
_KEPT_PREFIXES = ("LC_", "PYTHON")


@dataclass(frozen=True)
class Endpoint:
    """How to connect to a ClickHouse server."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    database: str
    secure: bool

    @property
    def url(self) -> str:
        """The address without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


@dataclass(frozen=True)
class ServerRecord:
    """What a running embedded server says of itself in server.json."""

    pid: int
    create_time: float
    host: str
    port: int
    started_at: str


class ServerFiles:
    """Where the embedded server of a home keeps its things."""

    def __init__(self, settings: Settings) -> None:
        self.directory = settings.clickhouse_dir
        self.data = self.directory / "data"
        self.temporary = self.directory / "tmp"
        self.password = self.directory / "password"
        self.record = self.directory / "server.json"
        self.log = self.directory / "server.log"
        self.lock = self.directory / "server.lock"
        self.users = self.directory / "users.lock"


def read_record(path: Path) -> ServerRecord | None:
    """The record of a server that is alive, or None."""
    try:
        record = ServerRecord(**json.loads(path.read_text()))
        # Process ids are used again: the start time tells whether it is still the same process.
        process = psutil.Process(record.pid)
        alive = abs(process.create_time() - record.create_time) < _CLOCK_TOLERANCE_S and not _has_ended(process)
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
    return record if alive else None


def _has_ended(process: psutil.Process) -> bool:
    """Whether the process is gone, or a zombie that its parent has not collected yet."""
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def endpoint(settings: Settings) -> Endpoint | None:
    """The configured ClickHouse server, else the embedded one of this home if it answers, else None."""
    if settings.clickhouse_url is not None:
        return _external(settings)
    files = ServerFiles(settings)
    record = read_record(files.record)
    if record is None:
        return None
    try:
        password = files.password.read_text().strip()
    except OSError:
        return None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(record.host, record.host)
    found = Endpoint(host, record.port, "default", password, settings.clickhouse_database, False)
    return found if _answers(found) else None


@contextlib.contextmanager
def running_server(settings: Settings) -> Iterator[Endpoint]:
    """A ClickHouse server for the time of the block: the configured one, the running one, or one started for it.

    Whoever holds the users' lock needs the embedded server. The one that started it stops it when nobody else does;
    when that one is killed, the server finds the lock free and stops by itself.
    """
    if settings.clickhouse_url is not None:
        yield _external(settings)
        return
    files = ServerFiles(settings)
    state_directory(settings.root, files.directory.name)
    deadline = time.monotonic() + _START_TIMEOUT_S
    with files.users.open("a") as lock:
        _share(lock.fileno(), files, deadline)
        found = endpoint(settings)
        process = None
        if found is None:
            process, found = _start(settings, files, deadline)
        try:
            yield found
        finally:
            if process is not None:
                _stop_if_unused(process, lock.fileno())


def stop_server(settings: Settings) -> ServerRecord | None:
    """Stop the embedded server of this home; returns what ran, or None."""
    record = read_record(ServerFiles(settings).record)
    if record is None:
        return None
    try:
        process = psutil.Process(record.pid)
        process.terminate()
    except psutil.NoSuchProcess:
        return record
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while not _has_ended(process):
        if time.monotonic() > deadline:
            raise ServerError(
                f"The server with pid {record.pid} did not stop within {_STOP_TIMEOUT_S:.0f} s. "
                f"See {ServerFiles(settings).log}"
            )
        time.sleep(_POLL_S)
    return record


def _external(settings: Settings) -> Endpoint:
    assert settings.clickhouse_url is not None
    try:
        parts = urlsplit(settings.clickhouse_url.get_secret_value())
        port = parts.port
    except ValueError:
        raise ServerError("IOT_CLICKHOUSE_URL is not a URL like https://user:password@host:8443") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ServerError("IOT_CLICKHOUSE_URL must be http(s)://user:password@host:port")
    secure = parts.scheme == "https"
    password = unquote(parts.password) if parts.password is not None else None
    if password is None:
        password = settings.clickhouse_password.get_secret_value() if settings.clickhouse_password else ""
    return Endpoint(
        host=parts.hostname,
        port=port or (8443 if secure else 8123),
        username=unquote(parts.username or "default"),
        password=password,
        database=settings.clickhouse_database,
        secure=secure,
    )


def _answers(candidate: Endpoint) -> bool:
    connection = http.client.HTTPConnection(candidate.host, candidate.port, timeout=_PING_TIMEOUT_S)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().read() == b"Ok.\n"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _share(lock: int, files: ServerFiles, deadline: float) -> None:
    """Take the users' lock; someone may hold it alone while a server stops."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ServerError(f"Waited too long for {files.users}: a server is stopping. {_tail(files)}") from None
            time.sleep(_POLL_S)


def _start(settings: Settings, files: ServerFiles, deadline: float) -> tuple[subprocess.Popen[bytes] | None, Endpoint]:
    """Start a server in the background; when another one wins the data directory meanwhile, use that one."""
    process: subprocess.Popen[bytes] | None = _spawn(settings, files)
    while time.monotonic() < deadline:
        code = process.poll() if process is not None else None
        if code is not None:
            if code != EXIT_IN_USE:
                raise ServerError(f"The embedded ClickHouse did not start (exit code {code}). {_tail(files)}")
            process = None
        found = endpoint(settings)
        if found is not None:
            return process, found
        if process is None and not _is_owned(files):
            process = _spawn(settings, files)  # the one that held the directory was only stopping
        time.sleep(_POLL_S)
    if process is not None:
        process.kill()
        process.wait()
    raise ServerError(f"The embedded ClickHouse did not answer within {_START_TIMEOUT_S:.0f} s. {_tail(files)}")


def _spawn(settings: Settings, files: ServerFiles) -> subprocess.Popen[bytes]:
    if files.log.exists() and files.log.stat().st_size > _MAX_LOG_BYTES:
        files.log.write_bytes(b"")
    with files.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "iot_platform", "db", "serve", "--stop-when-unused"],
            env=_server_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in a terminal is for the command, not for the server
        )


def _server_environment(settings: Settings) -> dict[str, str]:
    """What the server needs and nothing else: the engine must find no password or token there."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    paths = [str(PACKAGE_DIR.parent), os.environ.get("PYTHONPATH", "")]
    return python_environment(
        {
            **kept,
            "IOT_HOME": str(settings.root),
            "IOT_HOST": settings.host,
            "IOT_CLICKHOUSE_PORT": str(settings.clickhouse_port),
            "IOT_CLICKHOUSE_MEMORY_BYTES": str(settings.clickhouse_memory_bytes),
            "PYTHONPATH": os.pathsep.join(paths),
        }
    )


def _is_owned(files: ServerFiles) -> bool:
    with files.lock.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _stop_if_unused(process: subprocess.Popen[bytes], lock: int) -> None:
    """Stop the server unless someone else needs it; while it stops, the lock keeps others waiting for a new one."""
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


def _tail(files: ServerFiles) -> str:
    try:
        lines = files.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    except OSError:
        return f"There is no log at {files.log}."
    return "\n".join([f"The end of {files.log}:", *lines])
