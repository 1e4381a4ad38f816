"""The processes that are killed: the server, the one that takes in the stream, and the one that proves."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import psutil

from iot_platform.clickhouse_embedded.directory import ServerDirectory
from iot_platform.clickhouse_embedded.record import read_record
from iot_platform.settings import Settings

WAIT_S = 90.0
# The exit code of a server whose directory another one uses.
IN_USE = 3


class SoakError(Exception):
    """A failure other than a mismatch of data: a process ended by itself, or an acknowledgement was taken back."""


def start(
    env: dict[str, str], log: IO[bytes], *arguments: str, stdin: int | None = None, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """``iot-platform ARGUMENTS`` in a process group of its own; its output goes to the log unless told otherwise."""
    return subprocess.Popen(
        [sys.executable, "-m", "iot_platform", *arguments],
        env=env,
        stdin=stdin,
        stdout=log if stdout is None else stdout,
        stderr=log,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Send SIGKILL and wait for the end."""
    process.kill()
    process.wait()


def end_all_of(home: Path) -> None:
    """End the processes of this soak: those whose environment names its home."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("IOT_HOME") == str(home) and process.pid != os.getpid():
                process.kill()
                process.wait(10)
        except psutil.Error:
            continue


def rebuild_is_running(home: Path) -> bool:
    """Whether staging tables exist: a rebuild is running, or was killed."""
    return any((home / "clickhouse" / "data" / "metadata" / "iot").glob("staging_*.sql"))


class Server:
    """The embedded server of the home: a ``db serve`` started here, or the one that commands start on demand."""

    def __init__(self, settings: Settings, env: dict[str, str], log: IO[bytes], *, on_demand: bool) -> None:
        self._files = ServerDirectory(settings.clickhouse_dir)
        self._env = {name: value for name, value in env.items() if name != "IOT_CLICKHOUSE_URL"}
        self._log = log
        self._port = settings.clickhouse_port
        self.on_demand = on_demand
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready. Does nothing if the commands start it on demand."""
        if self.on_demand:
            return
        deadline = time.monotonic() + WAIT_S
        # One that was started on demand may still be stopping.
        while self.is_running:
            if time.monotonic() > deadline:
                raise SoakError("the server of the last round does not stop")
            time.sleep(0.05)
        command = "db", "serve", "--port", str(self._port)
        self.process = start(self._env, self._log, *command)
        while read_record(self._files.record) is None:
            code = self.process.poll()
            if code not in (None, IN_USE) or time.monotonic() > deadline:
                raise SoakError(f"db serve does not start (exit code {code})")
            time.sleep(0.05)
            if code == IN_USE:
                # The server of the last round has removed its record, and holds the directory for a moment longer.
                self.process = start(self._env, self._log, *command)

    @property
    def is_running(self) -> bool:
        """Whether a server is running."""
        return read_record(self._files.record) is not None

    def kill(self) -> bool:
        """Kill it; False when none runs."""
        record = read_record(self._files.record)
        if self.process is not None:
            kill(self.process)
        elif record is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGKILL)
        return record is not None

    def stop(self) -> None:
        """Stop it with SIGTERM if it was started here."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT_S)
            self.process = None


class Prover:
    """Runs ``prove`` again and again."""

    def __init__(self, env: dict[str, str], log: IO[bytes]) -> None:
        self._env = env
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._may_fail = False
        # The usual duration of a run, so that a kill can come at any moment of it.
        self.usual_s = 3.0
        self.finished = self.failed = 0

    def start(self) -> None:
        """Begin one run."""
        self._process = start(self._env, self._log, "prove", stdout=subprocess.DEVNULL)
        self._started_at = time.monotonic()
        self._may_fail = False

    def excuse(self) -> None:
        """The present run may fail: the server was killed."""
        self._may_fail = True

    def go_on(self) -> None:
        """Start the next run when one has ended. Raises SoakError if it failed although the server was not killed."""
        if self._process is not None and self._process.poll() is not None:
            self._judge(self._process.returncode)
            self.start()

    def wait(self) -> None:
        """Wait for the last run."""
        if self._process is not None:
            self._judge(self._process.wait(2 * WAIT_S))
            self._process = None

    def kill(self) -> bool:
        """Kill the run; False when it had ended."""
        assert self._process is not None
        if self._process.poll() is not None:
            return False
        kill(self._process)
        return True

    def _judge(self, code: int) -> None:
        if code == 0:
            self.finished += 1
            self.usual_s += 0.3 * (time.monotonic() - self._started_at - self.usual_s)
        elif self._may_fail:
            self.failed += 1
        else:
            raise SoakError(f"prove failed although nobody killed the server: exit code {code}, see soak.log")
