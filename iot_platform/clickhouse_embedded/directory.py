"""The paths of one server's files: data, password, locks and logs."""

from __future__ import annotations

from pathlib import Path


class ServerDirectory:
    """The paths in a server's directory. It creates nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path / "data"
        self.temporary = path / "tmp"
        self.config = path / "config"
        self.password = path / "password"
        self.record = path / "server.json"
        self.log = path / "server.log"
        self.server_lock = path / "server.lock"
        self.users_lock = path / "users.lock"
