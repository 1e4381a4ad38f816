"""The code server stalls (a suspended laptop, a paused virtual machine) or dies: everything goes on by itself.

IOT_STALL_S=75 makes it the full rehearsal; in the suite the stall is shorter.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iot_platform.services.code_health import code_server_problem
from iot_platform_tests.e2e.commands import environment
from iot_platform_tests.e2e.running import Running, running, wait_until

# Longer than the webserver and the daemon try to reconnect before they show an error: ten attempts a second apart.
STALL_S = float(os.environ.get("IOT_STALL_S", "15"))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("code_server")
    env = environment(directory / "home", IOT_CLICKHOUSE_PORT="0", IOT_SIMULATOR_DEVICES="5")
    with running(env, directory) as platform:
        yield platform


def target(platform: Running) -> str:
    """The gRPC address of the code server."""
    words = platform.code_server().cmdline()
    return f"127.0.0.1:{words[words.index('-p') + 1]}"


def test_a_stalled_code_server_goes_on(platform: Running) -> None:
    server = platform.code_server()
    assert code_server_problem(target(platform)) is None
    server.send_signal(signal.SIGSTOP)
    try:
        assert code_server_problem(target(platform), timeout_s=1)
        time.sleep(STALL_S)
    finally:
        server.send_signal(signal.SIGCONT)
    wait_until(platform.is_loaded, "the code location is loaded again")
    assert code_server_problem(target(platform)) is None
    platform.wait_for_success(platform.launch("refresh_metadata_job"))
    # It is the same process: nothing was started again.
    assert platform.code_server().pid == server.pid


def test_a_code_server_that_has_died_is_started_again(platform: Running) -> None:
    server = platform.code_server()
    address = target(platform)
    server.kill()
    wait_until(lambda: code_server_problem(address) is None, "another code server answers")
    assert platform.code_server().pid != server.pid
    wait_until(platform.is_loaded, "the code location is loaded again")
    platform.wait_for_success(platform.launch("refresh_metadata_job"))
    # A health check during the stall of the test before may have been reported, too.
    restarts = [line for line in platform.errors.read_text().splitlines() if "exit code" in line]
    log = Path(platform.home, "logs", "code-location.log")
    assert restarts == [f"code-location ended with exit code -9 and was started again. Log: {log}"]
