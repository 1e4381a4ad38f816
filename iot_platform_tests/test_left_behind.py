"""What a test leaves behind is found and named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from iot_platform_tests import leftovers
from iot_platform_tests.leftovers import State, left_since


def test_nothing_is_left_when_nothing_was_done() -> None:
    assert left_since(State.now()) == ""


def test_what_is_left_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(leftovers, "GRACE_S", 0)
    before = State.now()
    monkeypatch.setenv("IOT_FORGOTTEN", "1")
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()  # Python runs: before, the process has no command line
        left = left_since(before)
        process.kill()
    assert f"-c print(flush=True); input() ({process.pid})" in left
    assert "changed environment variables: IOT_FORGOTTEN" in left and f"working directory: {tmp_path}" in left
