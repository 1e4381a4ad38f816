"""A service that ends is started again, unless it ends again and again; and the ports of services."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from iot_platform.errors import PlatformError
from iot_platform.services.process import MAX_RESTARTS, Service, free_port


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
