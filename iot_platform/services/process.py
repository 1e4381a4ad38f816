"""Child processes that serve: started, watched, and ended with all they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from iot_platform.errors import PlatformError
from iot_platform.security.child_environment import python_environment
from iot_platform.security.private_files import UMASK

STOP_TIMEOUT_S = 20
START_TIMEOUT_S = 120


def free_port(preferred: int, host: str) -> int:
    """``preferred`` if nothing listens there, any free port otherwise."""
    for port in (preferred, 0):
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind((host, port))
            except OSError:
                continue
            return int(candidate.getsockname()[1])
    raise PlatformError(f"No free port on {host}.")


class Service:
    """One child process in a session of its own, so that a Ctrl-C reaches it only through us."""

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path, cwd: Path | None = None
    ) -> None:
        """Start ``python -m COMMAND``; its output goes to the file ``log``, in a directory that is there.

        ``cwd``: its folder; None: ours.
        """
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=python_environment(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=UMASK,
            )

    def check(self) -> None:
        """Raise PlatformError, with the end of its log, when the process has ended."""
        code = self._process.poll()
        if code is not None:
            raise PlatformError(f"{self.name} ended with exit code {code}. The end of {self.log}:\n{self._tail()}")

    def stop(self) -> None:
        """End the process and everything it started: asked first, after STOP_TIMEOUT_S seconds by force."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT_S)
        # Children that outlived the parent (code servers, runs) are in the session that was made for it.
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._signal(signal.SIGTERM) and time.monotonic() < deadline:
            self._process.poll()
            time.sleep(0.2)
        self._signal(signal.SIGKILL)
        self._process.wait(5)

    def _signal(self, number: signal.Signals) -> bool:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        return True

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
