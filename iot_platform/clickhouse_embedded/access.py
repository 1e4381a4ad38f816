"""The server's password, and the credentials of a request."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from iot_platform.clickhouse_embedded.errors import AUTHENTICATION_FAILED, ClickHouseError
from iot_platform.clickhouse_embedded.private_files import private_directory
from iot_platform.clickhouse_embedded.text import decoded, encoded, header_text

USER = "default"


def read_or_create_password(path: Path) -> str:
    """The server's password; generated at the first start, in a file that only its owner can read."""
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


@dataclass(frozen=True)
class Credentials:
    """The user and password of a request."""

    user: str
    password: str

    def check(self, password: str) -> None:
        """Raise AUTHENTICATION_FAILED unless they are those of the only user."""
        right = hmac.compare_digest(encoded(self.password), password.encode())
        if not (right and self.user == USER):
            raise ClickHouseError(
                AUTHENTICATION_FAILED,
                f"{self.user}: Authentication failed: password is incorrect, or there is no user with such name. "
                "The password is in the file `password` of the server's directory, or was given at its start.",
            )


def credentials(headers: Mapping[str, str], params: Mapping[str, str]) -> Credentials:
    """The credentials of a request: Basic, X-ClickHouse-User and -Key, or in the URL; only one of them is allowed."""
    user = header_text(headers.get("x-clickhouse-user", ""))
    key = header_text(headers.get("x-clickhouse-key", ""))
    basic = headers.get("authorization")
    ways = []
    if user or key:
        ways.append("X-ClickHouse HTTP headers")
    if basic:
        ways.append("Authorization HTTP header")
    if "user" in params or "password" in params:
        ways.append("authentication via parameters")
    if len(ways) > 1:
        raise ClickHouseError(
            AUTHENTICATION_FAILED,
            f"Invalid authentication: it is not allowed to use {ways[0]} and {ways[1]} simultaneously",
        )
    if user or key:
        return Credentials(user or USER, key)
    if basic:
        return _basic(basic)
    return Credentials(params.get("user") or USER, params.get("password", ""))


def _basic(header: str) -> Credentials:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        raise ClickHouseError(
            AUTHENTICATION_FAILED, f"Invalid authentication: '{scheme}' HTTP Authorization scheme is not supported"
        )
    try:
        user, _, password = decoded(base64.b64decode(value, validate=True)).partition(":")
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        raise ClickHouseError(AUTHENTICATION_FAILED, "Invalid authentication: malformed Basic credentials") from None
    return Credentials(user or USER, password)
