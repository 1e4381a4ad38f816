"""A running crm-stub for tests: a process of its own, spoken to over HTTP, with a CSV that a test may change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOKEN = "pat-na1-verysecret"


@contextmanager
def crm_stub(csv: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> Iterator[Path]:
    """Run the stub, with the platform's settings pointed at it; gives the file that lists its requests."""
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
