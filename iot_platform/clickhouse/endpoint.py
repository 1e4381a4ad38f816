"""Which ClickHouse server to talk to: the one in IOT_CLICKHOUSE_URL, or the embedded server of this home."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from iot_platform.clickhouse_embedded.directory import ServerDirectory
from iot_platform.clickhouse_embedded.record import bracketed, read_record
from iot_platform.errors import ServerError
from iot_platform.settings import Settings

_PING_TIMEOUT_S = 5.0
# A server that listens on every address is reached by loopback.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}


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
        return f"{'https' if self.secure else 'http'}://{bracketed(self.host)}:{self.port}"


def endpoint(settings: Settings) -> Endpoint | None:
    """The configured ClickHouse server, else the embedded server of this home if it answers, else None."""
    return external_endpoint(settings) or _embedded_endpoint(settings)


def external_endpoint(settings: Settings) -> Endpoint | None:
    """The server in IOT_CLICKHOUSE_URL; None when that is not set. Raises ServerError when it is not a valid URL."""
    if settings.clickhouse_url is None:
        return None
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


def _embedded_endpoint(settings: Settings) -> Endpoint | None:
    directory = ServerDirectory(settings.clickhouse_dir)
    record = read_record(directory.record)
    if record is None:
        return None
    try:
        password = directory.password.read_text().strip()
    except OSError:
        return None
    host = _LOOPBACK.get(record.host, record.host)
    found = Endpoint(host, record.port, "default", password, settings.clickhouse_database, False)
    return found if _answers(found) else None


def _answers(candidate: Endpoint) -> bool:
    connection = http.client.HTTPConnection(candidate.host, candidate.port, timeout=_PING_TIMEOUT_S)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().read() == b"Ok.\n"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
