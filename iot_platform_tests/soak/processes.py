"""The processes that are killed: the server, the one that takes in the stream, and the one that proves."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

import psutil

from iot_platform.clickhouse.server import ServerFiles, read_record
from iot_platform.settings import Settings
from iot_platform_tests.soak.model import Stream

STREAM = "soak"
WAIT_S = 90.0


class SoakError(Exception):
    """Something else than a mismatch of data: a process that ended by itself, or an acknowledgement taken back."""


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
    """SIGKILL, at once."""
    process.kill()
    process.wait()


def end_all_of(home: Path) -> None:
    """End every process whose environment names the home, by its id; none but those of this soak do."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("IOT_HOME") == str(home) and process.pid != os.getpid():
                process.kill()
                process.wait(10)
        except psutil.Error:
            continue


class Server:
    """The embedded server of the home: ``db serve`` of our own, or whichever the commands start when they need one."""

    def __init__(self, settings: Settings, env: dict[str, str], log: IO[bytes], *, on_demand: bool) -> None:
        self._files = ServerFiles(settings)
        self._env = {name: value for name, value in env.items() if name != "IOT_CLICKHOUSE_URL"}
        self._log = log
        self._port = settings.clickhouse_port
        self.on_demand = on_demand
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait for it; nothing when it is started on demand."""
        if self.on_demand:
            return
        self.process = start(self._env, self._log, "db", "serve", "--port", str(self._port))
        deadline = time.monotonic() + WAIT_S
        while read_record(self._files.record) is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SoakError(f"db serve does not start (exit code {self.process.poll()})")
            time.sleep(0.05)

    @property
    def is_running(self) -> bool:
        """Whether there is one to kill."""
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
        """End it cleanly, when it is ours."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT_S)
            self.process = None


class Sender:
    """Sends the stream to ``ingest --json``, goes on where that says, and holds it to what it has acknowledged."""

    def __init__(self, env: dict[str, str], log: IO[bytes], stream: Stream, seed: int, lines_s: float) -> None:
        self.env = env
        self._log = log
        self._stream = stream
        self._random = random.Random(seed)
        self._lines_s = lines_s
        self._stop = threading.Event()
        self._said = threading.Condition()
        self._is_ready = False
        self.sent = self.acknowledged = 0
        self.delivered: bool | None = None
        self.resumed = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start ``ingest``; its first line tells where to go on. Raises SoakError when that cannot be."""
        self._stop.clear()
        self._is_ready, self.delivered = False, None
        self.process = start(
            self.env,
            self._log,
            *("ingest", STREAM, "--json", "--full-wait", str(10 * WAIT_S), "--flush-wait", str(WAIT_S)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._threads = [threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True)]
        before = self.acknowledged
        self._threads[0].start()
        with self._said:
            if not self._said.wait_for(lambda: self._is_ready, WAIT_S):
                raise SoakError(f"ingest says nothing (exit code {self.process.poll()})")
        if not before <= self.acknowledged <= self.sent:
            raise SoakError(
                f"ingest had acknowledged {before:,} of {self.sent:,} positions and now says {self.acknowledged:,}"
            )
        self._threads.append(threading.Thread(target=self._send, args=(self.process.stdin,), daemon=True))
        self._threads[1].start()
        self.resumed += 1

    @property
    def exit_code(self) -> int | None:
        """How ``ingest`` ended; None while it runs."""
        assert self.process is not None
        return self.process.poll()

    def kill(self) -> bool:
        """Kill ``ingest``; False when it does not run."""
        if self.process is None or self.process.poll() is not None:
            return False
        kill(self.process)
        self._join()
        return True

    def finish(self) -> bool:
        """Send no more, and have all delivered; whether ``ingest`` says that it was."""
        assert self.process is not None
        self._stop.set()
        self._threads[1].join(WAIT_S)
        code = self.process.wait(2 * WAIT_S)
        self._join()
        return code == 0 and self.delivered is True

    def _join(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WAIT_S)

    def _listen(self, output: IO[bytes]) -> None:
        for line in output:
            if not line.endswith(b"\n"):
                return  # killed in the middle of it
            said = json.loads(line)
            with self._said:
                self.acknowledged = int(said["accepted"])
                self.delivered = said.get("delivered")
                self._is_ready = True
                self._said.notify_all()

    def _send(self, pipe: IO[bytes]) -> None:
        position = self.acknowledged
        try:
            pipe.write(self._stream.HEADER)
            while not self._stop.is_set():
                count = self._random.randint(1, 200)
                lines = b"".join(self._stream.line(n) for n in range(position, position + count))
                position += count
                self.sent = max(self.sent, position)
                # In two writes, the first of which ends anywhere.
                cut = self._random.randrange(len(lines))
                for part in (lines[:cut], lines[cut:]):
                    pipe.write(part)
                    pipe.flush()
                self._stop.wait(count / self._lines_s)
            pipe.close()
        except (BrokenPipeError, ValueError):
            return  # ``ingest`` was killed


class Prover:
    """Runs ``prove`` again and again."""

    def __init__(self, env: dict[str, str], log: IO[bytes]) -> None:
        self._env = env
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._may_fail = False
        # What a run takes usually, so that it is killed anywhere within.
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
        """When a run has ended, begin the next. Raises SoakError when it failed without an excuse."""
        if self._process is not None and self._process.poll() is not None:
            self._judge(self._process.returncode)
            self.start()

    def wait(self) -> None:
        """Let the last run end."""
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
