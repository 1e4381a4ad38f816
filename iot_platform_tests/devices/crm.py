"""A running crm-stub for tests: a separate process with an HTTP interface, and a CSV that a test may change."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from iot_platform.devices.sources.hubspot_stub import Stub
from iot_platform.settings import Settings

TOKEN = "pat-na1-verysecret"


@contextmanager
def crm_stub(csv: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> Iterator[Path]:
    """Run the stub, and set the platform's settings to use it; yields the file that lists its requests."""
    log = csv.with_name(f"{csv.stem}.requests")
    command = [sys.executable, "-m", "iot_platform", "crm-stub", "--csv", str(csv), "--port", "0", "--json", *options]
    monkeypatch.setenv("IOT_CRM_TOKEN", TOKEN)
    monkeypatch.setenv("IOT_DEVICES_SOURCE", "crm")
    with log.open("w") as output, subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ, text=True) as stub:
        assert stub.stdout
        monkeypatch.setenv("IOT_CRM_URL", json.loads(stub.stdout.readline())["url"])
        pump = subprocess.Popen(["cat"], stdin=stub.stdout, stdout=output)
        try:
            yield log
        finally:
            stub.terminate()
            stub.wait(10)
            pump.wait(10)


def requests_of(log: Path, *, having: str = "") -> list[str]:
    return [line for line in log.read_text().splitlines() if having in line]


@contextmanager
def stub_in_thread(csv: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Stub, list[str]]]:
    """The stub in this process, so that its faults can be changed; yields it and the list of its requests."""
    lines: list[str] = []
    settings = Settings()
    stub = Stub(
        csv,
        settings.crm_object,
        TOKEN,
        settings.crm_fields,
        settings.crm_modified_property,
        faults={},
        log=lines.append,
    )
    monkeypatch.setenv("IOT_CRM_TOKEN", TOKEN)
    monkeypatch.setenv("IOT_DEVICES_SOURCE", "crm")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("IOT_CRM_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        config = uvicorn.Config(stub.app(), log_level="critical", lifespan="off", ws="none")
        config.timeout_graceful_shutdown = 1
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield stub, lines
        finally:
            server.should_exit = True
            thread.join(20)
