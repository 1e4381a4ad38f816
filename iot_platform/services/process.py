"""Long-running child processes: start them, check them, and stop them with everything they started."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from iot_platform.errors import PlatformError
from iot_platform.security.child_environment import python_environment
from iot_platform.security.private_files import UMASK

STOP_TIMEOUT_S = 20
# A service that ends again and again is broken: restarting it would only hide that.
MAX_RESTARTS, RESTART_WINDOW_S = 5, 600
LINES_SHOWN, LOG_END_BYTES = 20, 64 * 1024
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def free_port(preferred: int, host: str) -> int:
    """``preferred`` if nothing listens there, any free port otherwise."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (preferred, 0):
        with socket.socket(family) as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind((host, port))
            except OSError:
                continue
            return int(candidate.getsockname()[1])
    raise PlatformError(f"No free port on {host}.")


def end_of(log: Path) -> str:
    """The last lines of a log that are not blank."""
    with log.open("rb") as file:
        # A log of months may be larger than the memory.
        file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_END_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join([line for line in lines if line.strip()][-LINES_SHOWN:])


def _end_with_parent() -> Callable[[], None]:
    """What a child process does before it starts: ask the kernel for a SIGTERM when this process ends."""
    library, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask


class Service:
    """One child process in a session of its own, so that Ctrl-C does not stop it directly; ``stop`` does.

    On Linux it also ends when this process is killed.
    """

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path, cwd: Path | None = None
    ) -> None:
        """Start ``python -m COMMAND``; its output goes to the file ``log``, in an existing directory.

        ``cwd``: the working directory; None: ours.
        """
        self.name = name
        self.log = log
        self._command, self._env, self._cwd = command, env, cwd
        self._restarts: deque[float] = deque(maxlen=MAX_RESTARTS)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", *self._command],
                env=python_environment(self._env),
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent() if sys.platform == "linux" else None,
                umask=UMASK,
            )

    def check(self) -> None:
        """Raise PlatformError, with the end of its log, when the process has ended."""
        code = self._process.poll()
        if code is not None:
            raise PlatformError(f"{self.name} ended with exit code {code}. The end of {self.log}:\n{end_of(self.log)}")

    def restart_if_ended(self) -> str | None:
        """Start the process again if it has ended, and return a message then.

        Raises PlatformError when it has ended more than MAX_RESTARTS times within RESTART_WINDOW_S.
        """
        code = self._process.poll()
        if code is None:
            return None
        now = time.monotonic()
        if len(self._restarts) == MAX_RESTARTS and now - self._restarts[0] < RESTART_WINDOW_S:
            self.check()
        self._restarts.append(now)
        # Kill what it left, such as runs of the code server: Dagster's run monitoring starts those again.
        self._signal(signal.SIGKILL)
        self._process = self._start()
        return f"{self.name} ended with exit code {code} and was started again. Log: {self.log}"

    def stop(self) -> None:
        """End the process and everything it started: SIGTERM first, SIGKILL after STOP_TIMEOUT_S seconds."""
        self._signal(signal.SIGTERM)
        # A process that somebody has stopped (SIGSTOP) ends only when it goes on.
        self._signal(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT_S)
        # Children that outlive it, such as runs, are in its session.
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
