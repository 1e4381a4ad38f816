"""The options of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ServerOptions:
    """The options of one server.

    ``directory`` is created when it is missing. ``port`` 0: any free port. ``memory_bytes`` limits all queries
    together. ``trusted_hosts``: lower-case names that a Host header may have, besides localhost and IP addresses.
    ``password`` None: the one in the directory, which the first start generates. ``stop_when_unused``: stop when no
    process holds a lock on users.lock.
    """

    directory: Path
    host: str = "127.0.0.1"
    port: int = 8123
    any_port_if_taken: bool = False
    memory_bytes: int = 4 * 1024**3
    trusted_hosts: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)
    stop_when_unused: bool = False
