"""The commands in the documents work: every block of shell commands runs, in order, against a real embedded server."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from iot_platform_tests.docs.markdown import Block, read
from iot_platform_tests.docs.pages import ROOT, documents, tracked_files

TIMEOUT_S = 600


def _blocks(path: Path) -> list[Block]:
    return [block for block in read(path).blocks if block.language == "sh" and block.is_run]


WITH_COMMANDS = [path for path in documents() if _blocks(path)]


@pytest.mark.parametrize("path", WITH_COMMANDS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_work(path: Path, tmp_path: Path) -> None:
    """One shell for the blocks of a document, as somebody who types them one after another."""
    checkout = _checkout(tmp_path / "checkout")
    serve = "iot-platform db serve --port 0 2>server.log & server=$!"
    # Otherwise the server keeps the output open after a command has failed.
    script = ["set -euo pipefail", serve, "trap 'kill $server 2>/dev/null || true' EXIT", *_waiting()]
    for block in _blocks(path):
        script += [f"echo '--- {path.name}, line {block.line}'", block.text]
    script.append("kill $server 2>/dev/null || true; wait $server || true")
    done = _run(checkout, "\n".join(script))
    assert done[0] == 0, done[1][-5000:]


def _checkout(folder: Path) -> Path:
    """The files of the repository, where commands may change them."""
    for name in tracked_files():
        if not name.startswith(("iot_platform_tests/", "docs/images/", ".github/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def _waiting() -> list[str]:
    return [
        "for _ in $(seq 240); do iot-platform db url >/dev/null 2>&1 && break; sleep 0.5; done",
        "iot-platform db url >/dev/null",
    ]


def _run(checkout: Path, script: str) -> tuple[int, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("IOT_", "DAGSTER_"))}
    environment = {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}:{inherited.get('PATH', '')}",
        "PYTHONPATH": str(checkout),
        "IOT_HOME": ".iot-mine",
    }
    with subprocess.Popen(
        ["bash", "-c", script],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            output, _ = shell.communicate(timeout=TIMEOUT_S)
        finally:
            # Also what it started in the background.
            if shell.poll() is None or shell.returncode:
                _end_group(shell.pid)
    return shell.returncode, output


def _end_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGTERM)
