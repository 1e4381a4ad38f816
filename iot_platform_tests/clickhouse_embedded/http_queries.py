"""Queries as raw HTTP clients send them."""

from __future__ import annotations

import socket

import httpx

from iot_platform.clickhouse.endpoint import Endpoint


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


def raw(server: Endpoint, *parts: bytes, timeout_s: float = 20) -> socket.socket:
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
