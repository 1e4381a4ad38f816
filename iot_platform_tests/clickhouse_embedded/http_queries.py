"""Clients of the server: queries as raw HTTP requests, and clickhouse-connect."""

from __future__ import annotations

import socket
from typing import Any, Protocol

import clickhouse_connect
import httpx
from clickhouse_connect.driver.client import Client


class Server(Protocol):
    """How to reach the server of the tests."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def username(self) -> str: ...

    @property
    def password(self) -> str: ...

    @property
    def url(self) -> str: ...


def connect(server: Server, database: str = "", **options: Any) -> Client:
    """A clickhouse-connect client."""
    return clickhouse_connect.get_client(
        host=server.host,
        port=server.port,
        username=server.username,
        password=server.password,
        database=database or "default",
        **options,
    )


def post(http: httpx.Client, sql: str | bytes, status: int = 200, /, **params: str | int) -> httpx.Response:
    """The answer to ``sql`` in the body, which must have ``status``."""
    response = http.post("/", content=sql, params=http.params.merge(params))
    assert response.status_code == status, response.text
    return response


def rows(http: httpx.Client, sql: str | bytes, /, **params: str | int) -> str:
    """The result of ``sql`` without its last line end."""
    return post(http, sql, **params).text.rstrip("\n")


def code(response: httpx.Response) -> str:
    """ClickHouse's number of the error; "" without one."""
    return str(response.headers.get("X-ClickHouse-Exception-Code", ""))


def raw(server: Server, *parts: bytes, timeout_s: float = 20) -> socket.socket:
    """A connection on which ``parts`` were sent as they are."""
    connection = socket.create_connection((server.host, server.port), timeout=timeout_s)
    for part in parts:
        connection.sendall(part)
    return connection


def everything(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    received = []
    with connection:
        while data := connection.recv(65536):
            received.append(data)
    return b"".join(received)
