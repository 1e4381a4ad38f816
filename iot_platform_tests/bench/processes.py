"""Run ``iot-platform`` in a separate process and measure that process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAUNCHER = Path(__file__).with_name("launcher.py")
REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_S = 400
STOP_TIMEOUT_S = 60


@dataclass(frozen=True)
class Measured:
    """One command: its figures, and the JSON of its last line of output."""

    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    answer: dict[str, Any]

    def figures(self) -> dict[str, float]:
        """The figures without the command's output."""
        return {
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "peak_memory_bytes": self.peak_memory_bytes,
        }


def clean_environment(home: Path, **overrides: str) -> dict[str, str]:
    """The environment of a user with only IOT_HOME set; the server uses any free port."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("IOT_", "DAGSTER_"))}
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"IOT_HOME": str(home), "IOT_CLICKHOUSE_PORT": "0", "PYTHONPATH": os.pathsep.join(paths)}
    return {**inherited, **own, **overrides}


def measure(env: Mapping[str, str], *arguments: str) -> Measured:
    """Run ``iot-platform ARGUMENTS``; its last line of output must be JSON. Raises RuntimeError when it fails."""
    with tempfile.TemporaryDirectory(prefix="iot-bench-") as directory:
        result = Path(directory) / "usage.json"
        command = [sys.executable, "-m", "iot_platform", *arguments]
        output = _run([sys.executable, str(LAUNCHER), str(result), *command], env)
        figures = json.loads(result.read_text(encoding="utf-8"))
    return Measured(**figures, answer=json.loads(output.splitlines()[-1]))


def _run(command: list[str], env: Mapping[str, str]) -> str:
    process = subprocess.Popen(
        command, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        output, errors = process.communicate(timeout=TIMEOUT_S)
    finally:
        if process.poll() is None:
            _end(process)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[3:])}: exit code {process.returncode}\n{output}\n{errors}")
    return output


def _end(process: subprocess.Popen[str]) -> None:
    """Stop the command and its launcher; the command has time to stop its own child processes."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.communicate(timeout=STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
