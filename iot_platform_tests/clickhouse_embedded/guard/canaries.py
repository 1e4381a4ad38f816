"""Traps that tell whether an attack succeeded: a file with a secret, an empty directory, a socket, a program."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Canaries:
    """A file that must not be read, a directory not written, a socket not connected to, a program not run."""

    directory: Path
    port: int
    secret: str = field(default_factory=lambda: f"canary{secrets.token_hex(8)}")
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Create the file, the directory and the program."""
        self.written = self.directory / "written"
        self.written.mkdir(parents=True)
        self.file.write_text(f"{self.secret}\n")
        self.program.write_text(f"#!/bin/sh\ntouch {self.written}/run\necho {self.secret}\n")
        self.program.chmod(0o700)

    @property
    def file(self) -> Path:
        """The file that must not be read."""
        return self.directory / "secret.txt"

    @property
    def program(self) -> Path:
        """The program that must not run."""
        return self.directory / "program.sh"

    def touched(self, answer: bytes = b"") -> str:
        """What an attack has reached, in words; empty: nothing. ``answer``: what the client got."""
        if self.secret.encode() in answer or self.secret.encode().hex().encode() in answer.lower():
            return "the secret was read"
        if self.calls:
            return f"a connection was made: {self.calls[0]}"
        files = sorted(path.name for path in self.written.iterdir())
        return f"files were written: {', '.join(files)}" if files else ""

    def reset(self) -> None:
        """Forget what was reached."""
        self.calls.clear()
        for path in self.written.iterdir():
            path.unlink()


@contextlib.contextmanager
def canaries(directory: Path) -> Iterator[Canaries]:
    """Canaries in ``directory``, with a socket on loopback that notes every connection and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        found = Canaries(directory, listener.getsockname()[1])
        stop = threading.Event()

        def listen() -> None:
            while not stop.is_set():
                try:
                    connection, address = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    found.calls.append(str(address))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            stop.set()
            thread.join(5)
