"""A service that ends is started again, unless it ends again and again; and the ports of services."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from iot_platform.errors import PlatformError
from iot_platform.services.home_lock import only_platform
from iot_platform.services.process import MAX_RESTARTS, STOP_TIMEOUT_S, Service, end_of, free_port
from iot_platform.settings import Settings


def restarted(service: Service) -> str:
    """Wait until the process has ended and was started again; the message."""
    deadline = time.monotonic() + 60
    while not (message := service.restart_if_ended()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return message


def test_a_service_is_restarted_a_few_times(tmp_path: Path) -> None:
    log = tmp_path / "poem.log"
    # Prints a text with blank lines, and ends.
    service = Service("poem", ("this",), os.environ, log)
    messages = {restarted(service) for _ in range(MAX_RESTARTS)}
    assert messages == {f"poem ended with exit code 0 and was started again. Log: {log}"}
    with pytest.raises(PlatformError, match="poem ended with exit code 0. The end of") as caught:
        restarted(service)
    lines = str(caught.value).splitlines()
    assert len(lines) > 10 and all(line.strip() for line in lines)


def test_a_stopped_service_is_ended_at_once(tmp_path: Path) -> None:
    service = Service("server", ("http.server", "0", "--bind", "127.0.0.1"), os.environ, tmp_path / "log", tmp_path)
    [child] = [each for each in psutil.Process().children() if "http.server" in each.cmdline()]
    child.suspend()
    started = time.monotonic()
    service.stop()
    assert time.monotonic() - started < STOP_TIMEOUT_S / 2


PARENT = """
import os, sys, time
from pathlib import Path
from iot_platform.services.process import Service
service = Service("server", ("http.server", "0", "--bind", "127.0.0.1"), os.environ, Path(sys.argv[1]))
print(service._process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")
def test_a_service_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    child.wait(30)


def test_a_home_has_one_platform(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with only_platform(settings):
        with pytest.raises(PlatformError, match=rf"already running \(process {os.getpid()}\)"), only_platform(settings):
            pass
        with only_platform(Settings(home=tmp_path / "other")):
            pass
    with only_platform(settings):
        pass


def test_only_the_end_of_a_large_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.seek(2**33)  # eight gigabytes that take no space
        file.write(b"\n\nfirst\n\n" + b"last \xff\n")
    assert end_of(log).splitlines()[-2:] == ["first", "last \ufffd"]
    log.write_bytes(b"")
    assert end_of(log) == ""


def test_a_running_service_is_left_alone_and_stopped_with_its_children(tmp_path: Path) -> None:
    service = Service("server", ("http.server", "0", "--bind", "127.0.0.1"), os.environ, tmp_path / "log", tmp_path)
    assert service.restart_if_ended() is None
    service.stop()
    with pytest.raises(PlatformError):
        service.check()


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_a_port_that_is_in_use_is_replaced_by_a_free_one(host: str, family: socket.AddressFamily) -> None:
    with socket.socket(family) as taken:
        taken.bind((host, 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = free_port(port, host)
    assert other != port
    assert free_port(port, host) == port
