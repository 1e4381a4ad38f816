"""Sends the stream and remembers what was acknowledged."""

from __future__ import annotations

import json
import random
import subprocess
import threading
from typing import IO

from iot_platform_tests.soak.model import Stream
from iot_platform_tests.soak.processes import WAIT_S, SoakError, kill, start

STREAM = "soak"


class Sender:
    """Sends the stream to ``ingest --json``, resumes where it says, and fails if it takes back an acknowledgement."""

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
        """Start ``ingest``, whose first line says where to resume. Raises SoakError if that position is impossible."""
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
        """Stop sending and wait for the delivery. Returns whether ``ingest`` confirmed it."""
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
