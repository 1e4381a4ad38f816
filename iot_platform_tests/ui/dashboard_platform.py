"""A dashboard over a ClickHouse of its own, for the tests of the page."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import connect
from iot_platform.clickhouse.embedded_server import running_server
from iot_platform.clickhouse.session import migrated_session
from iot_platform.settings import Settings
from iot_platform_tests.dashboard.dashboard_data import insert_reading
from iot_platform_tests.e2e.commands import environment


def start(env: dict[str, str], *command: str) -> tuple[subprocess.Popen[str], str]:
    """A command that serves, and the first line it says."""
    process = subprocess.Popen(
        [sys.executable, "-m", "iot_platform", *command], env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"{command} ended with {process.wait(30)}"
    return process, line


@dataclass
class Platform:
    """A dashboard and the ClickHouse under it, which can be stopped."""

    env: dict[str, str]
    settings: Settings
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    url: str = ""

    def start_clickhouse(self) -> None:
        self.processes["clickhouse"], _ = start(self.env, "db", "serve", "--port", "0")

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0

    def insert_reading(self, kWh: float) -> None:
        with running_server(self.settings) as endpoint:
            client = connect(endpoint, self.settings)
            insert_reading(client, kWh)
            client.close()


@contextmanager
def served_dashboard(home: Path, fill: Callable[[Client], None]) -> Iterator[Platform]:
    """A platform whose database ``fill`` fills before the dashboard starts."""
    found = Platform(environment(home), Settings(home=home, clickhouse_url=None))
    found.start_clickhouse()
    try:
        with migrated_session(found.settings) as client:
            fill(client)
        found.processes["dashboard"], line = start(found.env, "dashboard", "--port", "0", "--json")
        found.url = json.loads(line)["url"]
        yield found
    finally:
        for name in reversed([*found.processes]):
            found.stop(name)
