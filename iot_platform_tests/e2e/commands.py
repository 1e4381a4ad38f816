"""Run the installed command as a user does: a process of its own, in a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TIMEOUT_S = 600


def environment(home: Path, **settings: str) -> dict[str, str]:
    """The environment of a user whose only settings are these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("IOT_", "DAGSTER_"))}
    return {**inherited, "IOT_HOME": str(home), **settings}


def iot_platform(
    env: dict[str, str], *arguments: str, exit_code: int = 0, stdin: str | None = None, umask: int = -1
) -> str:
    """Run ``iot-platform ARGUMENTS``; fails if its exit code is not the expected one.

    Returns its standard output, or its standard error if it is expected to fail. ``umask`` -1: that of this process.
    """
    done = subprocess.run(
        [sys.executable, "-m", "iot_platform", *arguments],
        env=env,
        input=stdin,
        umask=umask,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == exit_code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout if not exit_code else done.stderr
