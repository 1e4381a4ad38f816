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
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        left = left_since(before)
        process.kill()
    assert f"-c input() ({process.pid})" in left
    assert "changed environment variables: IOT_FORGOTTEN" in left and f"working directory: {tmp_path}" in left
