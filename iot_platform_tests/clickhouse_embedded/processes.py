"""Embedded servers as processes of their own, started by the entry point of the package."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from iot_platform.clickhouse_embedded.command_line import MODULE
from iot_platform.clickhouse_embedded.directory import ServerDirectory
from iot_platform.clickhouse_embedded.record import ServerRecord, read_record

WAIT_S = 60


def start(directory: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A server that may still be starting; standard output and errors are one pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", MODULE, *arguments, str(directory)],
        env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def record_of(directory: Path) -> ServerRecord | None:
    """The record of the server that runs in the directory."""
    return read_record(ServerDirectory(directory).record)


def wait_for(condition: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """Wait until ``condition`` is true; fails the test after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


@contextmanager
def running(directory: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A server on any free port, ready to answer; killed at the end if it still runs."""
    process = start(directory, "--port=0", *arguments, **environment)
    try:
        wait_for(lambda: record_of(directory) is not None or process.poll() is not None)
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(directory: Path, sql: str, password: str | None = None, **headers: str) -> httpx.Response:
    """The answer of the server in the directory."""
    record = record_of(directory)
    assert record is not None
    key = password or ServerDirectory(directory).password.read_text().strip()
    return httpx.post(
        f"http://127.0.0.1:{record.port}", content=sql, headers={"X-ClickHouse-Key": key, **headers}, timeout=60
    )


def result(directory: Path, sql: str) -> str:
    """The result of ``sql``, which must succeed, without its last line end."""
    answer = ask(directory, sql)
    assert answer.status_code == 200, answer.text
    return answer.text.rstrip("\n")
