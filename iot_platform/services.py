"""Dagster's webserver and daemon as child processes: started, watched, and ended together with all they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from iot_platform.errors import PlatformError
from iot_platform.settings import Settings

STOP_TIMEOUT_S = 20
START_TIMEOUT_S = 120

INSTANCE_CONFIG = """\
# Dagster's instance of this home: SQLite storage beside this file.
telemetry:
  enabled: false
# No dialog over the first page.
nux:
  enabled: false
run_monitoring:
  enabled: true
"""

# Named as in the checkout's workspace.yaml: `dagster dev` then shares the state of sensors and schedules.
WORKSPACE = """\
load_from:
  - python_module:
      module_name: iot_platform.definitions
      location_name: iot_platform
"""


def dagster_home(settings: Settings) -> Path:
    """The directory of Dagster's own storage in this home, made with a configuration when it is not there."""
    home = settings.root / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(INSTANCE_CONFIG, encoding="utf-8")
    return home


def environment(settings: Settings, overrides: Mapping[str, str]) -> dict[str, str]:
    """The environment of a Dagster process of this home."""
    return {
        **os.environ,
        "DAGSTER_HOME": str(dagster_home(settings)),
        "IOT_HOME": str(settings.root),
        **overrides,
    }


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

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        """Start ``command``; its output goes to the file ``log``."""
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise PlatformError, with the end of its log, when the process has ended."""
        code = self._process.poll()
        if code is not None:
            raise PlatformError(f"{self.name} ended with exit code {code}. The end of {self.log}:\n{self._tail()}")

    def wait_for_url(self, url: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until ``url`` answers. Raises PlatformError when the process ends or the time is over."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.check()
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.3)
        raise PlatformError(f"{self.name} did not answer at {url} in {timeout_s:.0f} s. {self.log}:\n{self._tail()}")

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


@contextmanager
def dagster_services(settings: Settings, port: int, env: Mapping[str, str]) -> Iterator[list[Service]]:
    """Webserver (answering on ``port``) and daemon for the length of a ``with`` block."""
    logs = settings.root / "logs"
    workspace = dagster_home(settings) / "workspace.yaml"
    workspace.write_text(WORKSPACE, encoding="utf-8")
    commands = {
        "dagster-webserver": ("dagster_webserver", "-h", settings.host, "-p", str(port), "-w", str(workspace)),
        "dagster-daemon": ("dagster._daemon", "run", "-w", str(workspace)),
    }
    with ExitStack() as stack:
        services: list[Service] = []
        for name, command in commands.items():
            services.append(Service(name, command, env, logs / f"{name}.log"))
            stack.callback(services[-1].stop)
        # Registered last, so it runs first: a second Ctrl-C must not leave processes behind.
        stack.callback(_ignore_interrupts)
        services[0].wait_for_url(f"http://{settings.host}:{port}/server_info")
        yield services


def _ignore_interrupts() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
