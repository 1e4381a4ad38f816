"""HTTP sessions: a handle kept between requests, with its temporary tables and SET settings."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping

from iot_platform.clickhouse_embedded.engine import ID_SETTING, Engine
from iot_platform.clickhouse_embedded.errors import (
    INVALID_SESSION_TIMEOUT,
    SESSION_IS_LOCKED,
    SESSION_NOT_FOUND,
    USER_SESSION_LIMIT_EXCEEDED,
    ClickHouseError,
)
from iot_platform.clickhouse_embedded.handle import BASE_SETTINGS, Handle, literal
from iot_platform.clickhouse_embedded.lexer import Token, with_depth
from iot_platform.clickhouse_embedded.text import decoded

DEFAULT_TIMEOUT_S = 60
# A client that abandons a result may send its next request before the server sees its old connection close.
GRACE_S = 0.5
MAX_TIMEOUT_S = 3600
MAX_SESSIONS = 500  # each needs about 125 KB, besides its temporary tables


class Session:
    """One session; ``busy`` while a request uses it."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.busy = True
        self.timeout_s = float(DEFAULT_TIMEOUT_S)
        self.expires = 0.0
        self._database = "default"  # for requests that name none
        self._current: str | None = None  # the handle's current database; None: unknown
        self._set = {name: literal(value) for name, value in BASE_SETTINGS.items()}

    def apply(self, settings: Mapping[str, str], database: str) -> None:
        """SET the settings of a request. ``database`` is for this request only; empty: the session's own."""
        wanted = database or self._database
        change = wanted if wanted != self._current else ""
        self._current = None
        self.handle.apply(settings, change)
        self._current = wanted

    def remember(self, statement: tuple[Token, ...]) -> None:
        """Keep the settings of a SET statement, or the database of a USE, for later requests."""
        if statement[0].word == "USE":
            current = self.handle.query("SELECT currentDatabase()", "RawBLOB")
            self._database = self._current = decoded(bytes(current.bytes()))
            return
        name = ""
        found: dict[str, str] = {}
        for index, token, depth in with_depth(statement, 1):
            before = statement[index - 1]
            if token.text == "=" and depth == 0:
                name = before.name
                found[name] = ""
            elif token.text == "," and depth == 0:
                name = ""
            elif name in found:
                found[name] += token.text
                if before.text == "{" and token.kind == "word":
                    del found[name]  # {name:Type}: the parameter is unknown when the setting is restored
        self._set |= found

    def restore(self, names: Iterable[str]) -> None:
        """Restore the settings ``names`` to the values of the client's SET statements, else to their defaults."""
        changes = [f"{name} = {self._set.get(name, 'DEFAULT')}" for name in (*names, ID_SETTING)]
        try:
            self.handle.query("SET " + ", ".join(changes))
        except ClickHouseError:  # an unknown name must not prevent the others from being restored
            for change in changes:
                with contextlib.suppress(ClickHouseError):
                    self.handle.query(f"SET {change}")


class Sessions:
    """All sessions by id; one request at a time in each."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Condition()

    def acquire(self, session_id: str, timeout_s: float, must_exist: bool) -> Session:
        """Acquire the session for one request; open it if it is new."""
        if not 0 < timeout_s <= MAX_TIMEOUT_S:
            raise ClickHouseError(
                INVALID_SESSION_TIMEOUT,
                f"Session timeout '{timeout_s:g}' is not positive or larger than max_session_timeout: {MAX_TIMEOUT_S}",
            )
        self.expire()
        with self._lock:
            self._lock.wait_for(lambda: not self._is_busy(session_id), GRACE_S)
            session = self._sessions.get(session_id)
            if session is None:
                if must_exist:
                    raise ClickHouseError(SESSION_NOT_FOUND, f"Session {session_id} not found")
                session = self._opened()
                self._sessions[session_id] = session
            elif session.busy:
                raise ClickHouseError(SESSION_IS_LOCKED, f"Session {session_id} is locked by a concurrent client")
            session.busy = True
            session.timeout_s = timeout_s
            return session

    def _opened(self) -> Session:
        if len(self._sessions) >= MAX_SESSIONS:
            raise ClickHouseError(
                USER_SESSION_LIMIT_EXCEEDED,
                f"Too many sessions: {MAX_SESSIONS} at most. Sessions end after session_timeout "
                f"({DEFAULT_TIMEOUT_S} s unless given), or at once with close_session=1",
            )
        handle = self._engine.open()
        try:
            handle.apply(BASE_SETTINGS)
        except ClickHouseError:
            handle.close()
            raise
        return Session(handle)

    def release(self, session_id: str, close: bool) -> None:
        """Release the session; ``close`` ends it."""
        with self._lock:
            session = self._sessions[session_id]
            session.busy = False
            session.expires = time.monotonic() + session.timeout_s
            if close:
                del self._sessions[session_id]
            self._lock.notify_all()
        if close:
            session.handle.close()

    def _is_busy(self, session_id: str) -> bool:
        session = self._sessions.get(session_id)
        return session is not None and session.busy

    def expire(self) -> None:
        """End the sessions whose timeout has passed without a request."""
        now = time.monotonic()
        with self._lock:
            old = [key for key, session in self._sessions.items() if not session.busy and session.expires < now]
            ended = [self._sessions.pop(key) for key in old]
        for session in ended:
            session.handle.close()

    def close(self) -> None:
        """End all sessions that are not in use."""
        with self._lock:
            ended = [session for session in self._sessions.values() if not session.busy]
            self._sessions.clear()
        for session in ended:
            session.handle.close()
