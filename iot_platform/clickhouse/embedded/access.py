"""Who may talk to the server: the generated password, credentials of a request, Host and Origin headers."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from iot_platform.clickhouse.embedded.faults import AUTHENTICATION_FAILED, ClickHouseError
from iot_platform.private_files import private_directory

USER = "default"


def read_or_create_password(path: Path) -> str:
    """The server's password; generated once, in a file that only its owner can read."""
    private_directory(path.parent)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        path.chmod(0o600)
        password = path.read_text().strip()
        if password:
            return password
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    password = secrets.token_urlsafe(24)
    with os.fdopen(descriptor, "w") as file:
        file.write(password + "\n")
    return password


def authenticate(headers: Mapping[str, str], params: Mapping[str, str], password: str) -> None:
    """Raise AUTHENTICATION_FAILED unless the request carries the password: Basic, X-ClickHouse-* or in the URL."""
    basic = headers.get("authorization")
    in_headers = "x-clickhouse-user" in headers or "x-clickhouse-key" in headers
    if basic and in_headers:
        raise ClickHouseError(
            AUTHENTICATION_FAILED,
            "Invalid authentication: it is not allowed to use X-ClickHouse HTTP headers and Authorization HTTP header "
            "simultaneously",
        )
    if basic:
        user, given = _basic(basic)
    elif in_headers:
        user, given = headers.get("x-clickhouse-user", USER), headers.get("x-clickhouse-key", "")
    else:
        user, given = params.get("user", USER), params.get("password", "")
    right = hmac.compare_digest(given.encode(), password.encode())
    if not (right and (user or USER) == USER):
        raise ClickHouseError(
            AUTHENTICATION_FAILED,
            f"{user or USER}: Authentication failed: password is incorrect, or there is no user with such name. "
            "`iot-platform db url --show-password` prints how to connect.",
        )


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise ClickHouseError(
            AUTHENTICATION_FAILED, f"Invalid authentication: '{scheme}' HTTP Authorization scheme is not supported"
        )
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise ClickHouseError(AUTHENTICATION_FAILED, "Invalid authentication: malformed Basic credentials") from None
    return user, password


def host_is_trusted(host_header: str) -> bool:
    """Whether the Host header names this machine by address or as localhost.

    A web page that rebinds its own domain name to 127.0.0.1 reaches the port, but with its name in the Host header.
    """
    try:
        host = urlsplit(f"//{host_header}").hostname
    except ValueError:  # "[abc"
        return False
    if host is None:
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host in ("localhost", socket.gethostname().lower())
    return True


def origin_is_trusted(origin: str | None, host_header: str) -> bool:
    """Whether no web page sent the request, or a page of this very server (there is none)."""
    try:
        return origin is None or urlsplit(origin).netloc == host_header
    except ValueError:
        return False
