"""Bind the server's port."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from iot_platform.clickhouse_embedded.errors import EmbeddedServerError
from iot_platform.clickhouse_embedded.options import ServerOptions
from iot_platform.clickhouse_embedded.record import bracketed

KEEP_ALIVE_S = 60
_BACKLOG = 1024


@contextlib.contextmanager
def listening(options: ServerOptions) -> Iterator[socket.socket]:
    """A socket that listens on the host and port of the options, or on any free port where they allow that."""
    try:
        listener = _listen(options.host, options.port)
    except OSError as error:
        if not options.any_port_if_taken:
            raise EmbeddedServerError(_refusal(options.host, options.port, error)) from None
        try:
            listener = _listen(options.host, 0)
        except OSError as again:
            raise EmbeddedServerError(_refusal(options.host, 0, again)) from None
    with listener:
        yield listener


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # IPPROTO_TCP: only then does asyncio turn off Nagle's algorithm, which would delay every small response by 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit these: the kernel closes a connection whose peer is gone.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE_S)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _refusal(host: str, port: int, error: OSError) -> str:
    return f"Cannot listen on {bracketed(host)}:{port}: {error.strerror}. Choose another --port."
