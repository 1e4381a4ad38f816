"""Each protection of the embedded engine, tested alone against statements that contain something forbidden."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LONG = int(os.environ.get("IOT_FUZZ_STATEMENTS", "2000"))
SEED = int(os.environ.get("IOT_FUZZ_SEED", "1"))


def attack(directory: Path, protections: list[str], count: int) -> dict[str, Any]:
    """What `python -m iot_platform_tests.clickhouse_embedded.guard.fuzz` found."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "iot_platform_tests.clickhouse_embedded.guard.fuzz",
            str(directory),
            "--protections",
            *protections,
        ]
        + ["--count", str(count), "--seed", str(SEED)],
        capture_output=True,
        text=True,
        timeout=120 + count * 0.5,
    )
    if "Landlock" in done.stderr and not done.stdout and "CI" not in os.environ:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.stdout, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_without_protections_the_attacks_succeed(tmp_path: Path) -> None:
    """Otherwise the other tests here would show nothing."""
    result = attack(tmp_path, [], 60)
    reached = [found["what"] for found in result["reached"]]
    assert len(reached) > 20
    for kind in ("the secret was read", "a connection was made", "files were written"):
        assert any(what.startswith(kind) for what in reached), (kind, reached)


def test_no_attack_passes_guard_and_grants(tmp_path: Path) -> None:
    result = attack(tmp_path, ["guard", "engine"], LONG)
    assert result["attacks"] == LONG
    assert result["reached"] == []
    # Harmless statements of the same attacks did run: the guard does not refuse everything.
    assert result["codes"]["0"] > LONG / 50


def test_no_attack_passes_the_guard_alone(tmp_path: Path) -> None:
    assert attack(tmp_path, ["guard"], LONG // 3)["reached"] == []


def test_no_attack_passes_landlock_alone(tmp_path: Path) -> None:
    result = attack(tmp_path, ["kernel"], 100)
    assert result["attacks"] == 100
    assert result["reached"] == []
    # The engine itself allowed them: the kernel refused.
    assert result["codes"]["0"] > 20


LOCKED_IN = """
import os, socket, subprocess, sys, tempfile
from pathlib import Path
home = Path(sys.argv[1])
for name in ("data", "tmp", "config"):
    (home / name).mkdir(parents=True)
(home / "password").write_text("secret")
os.environ["TMPDIR"] = tempfile.tempdir = str(home / "tmp")
from iot_platform.clickhouse_embedded import lockdown
from iot_platform.clickhouse_embedded.lockdown import Rights, restrict_process
port = int(sys.argv[2])
missing = restrict_process(Rights([home / "data", home / "tmp"], [home / "config"], [], home))
if missing:
    sys.exit(missing)

def refused(work):
    try:
        work()
    except PermissionError:
        return True
    return False

checks = {
    "a file elsewhere": lambda: open("/etc/passwd"),
    "the password": lambda: open(home / "password"),
    "a new file beside": lambda: open(home / "new", "w"),
    "the environment": lambda: open("/proc/self/environ"),
    "the environment by a thread": lambda: open(f"/proc/self/task/{os.getpid()}/environ"),
    "the memory": lambda: open("/proc/self/mem", "rb"),
    "the environment of the parent": lambda: open(f"/proc/{os.getppid()}/environ"),
    "a listing": lambda: os.listdir("/"),
    "the code around the package": lambda: open(Path(lockdown.__file__).parents[1] / "settings.py"),
    "a program": lambda: subprocess.run(["/bin/true"]),
    "the interpreter": lambda: subprocess.run([sys.executable, "-c", ""]),
    "a connection": lambda: socket.create_connection(("127.0.0.1", port), timeout=5),
    "a port": lambda: socket.create_server(("127.0.0.1", 0)),
}
open_doors = [name for name, work in checks.items() if not refused(work)]
(home / "data" / "x").write_text("1")
(home / "data" / "x").rename(home / "tmp" / "x")
assert (home / "tmp" / "x").read_text() == "1"
sys.exit(", ".join(open_doors) or 0)
"""


def test_landlock_restricts_the_process(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = [sys.executable, "-c", LOCKED_IN, str(tmp_path / "home"), str(listener.getsockname()[1])]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    if "Landlock" in done.stderr and "CI" not in os.environ:
        pytest.skip(done.stderr.strip())
    assert (done.returncode, done.stderr) == (0, "")


STARTED = """
import os, sys, tempfile
from pathlib import Path
home = Path(sys.argv[1])
for name in ("data", "tmp", "config"):
    (home / name).mkdir(parents=True)
os.environ["TZ"] = "UTC"  # moves the environment, as the server does
os.environ["TMPDIR"] = tempfile.tempdir = str(home / "tmp")
from iot_platform.clickhouse_embedded.lockdown import Rights, restrict_process
restrict_process(Rights([home / "data", home / "tmp"], [home / "config"], [], home))
import chdb
assert chdb.connect(str(home / "data")).query("SELECT 1", "TSV").bytes() == b"1\\n"
"""


def test_the_engine_starts_with_landlock_in_any_environment(tmp_path: Path) -> None:
    """It crashed for some sizes of the environment, because it could not read its auxiliary vector."""
    for size in range(8):
        environment = os.environ | {"PAD": "x" * (8 * size)}
        arguments = [sys.executable, "-c", STARTED, str(tmp_path / str(size))]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), size


STATISTICS = """
import os, sys, tempfile
from pathlib import Path
home = Path(sys.argv[1])
for name in ("data", "tmp", "config"):
    (home / name).mkdir(parents=True)
os.environ["TMPDIR"] = tempfile.tempdir = str(home / "tmp")
from iot_platform.clickhouse_embedded.lockdown import Rights, restrict_process
from iot_platform.clickhouse_embedded.thread_statistics import turn_off
restrict_process(Rights([home / "data", home / "tmp"], [home / "config"], [], home))
if sys.argv[2] == "off":
    assert turn_off()
import chdb
connection = chdb.connect(str(home / "data"))
connection.query("SELECT sum(number) FROM numbers_mt(10000000)")
print(connection.query("SELECT count() FROM system.errors WHERE last_error_message LIKE '%Cannot open file%'", "TSV"))
"""


@pytest.mark.parametrize(("statistics", "errors"), [("on", "1"), ("off", "0")])
def test_the_engine_does_not_try_to_read_what_landlock_refuses(tmp_path: Path, statistics: str, errors: str) -> None:
    """Each exception takes a tenth of a millisecond, and an insert had 150 of them.

    If the engine itself has none any more, thread_statistics.py is not needed.
    """
    arguments = [sys.executable, "-c", STATISTICS, str(tmp_path / "home"), statistics]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == errors
