"""Dagster's code location, webserver and daemon, and whether they are well."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from iot_platform.errors import PlatformError
from iot_platform.security.private_files import state_directory
from iot_platform.services.instance import create_storage
from iot_platform.services.process import START_TIMEOUT_S, Service, free_port
from iot_platform.services.signals import ignore_stop_signals
from iot_platform.settings import PACKAGE_DIR, Settings

# Named as in the checkout's workspace.yaml: `dagster dev` then shares the state of sensors and schedules.
WORKSPACE = """\
load_from:
  - grpc_server:
      host: 127.0.0.1
      port: {port}
      location_name: iot_platform
"""
# How Dagster's commands find the code. They import from the working directory first: that of the platform itself.
CODE = ("-m", "iot_platform.definitions", "-d", str(PACKAGE_DIR.parent))

HEALTH_TIMEOUT_S = 10
HEALTH_QUERY = """
{
  workspaceOrError {
    __typename
    ... on Workspace {
      locationEntries { name locationOrLoadError { __typename ... on PythonError { message } } }
    }
    ... on PythonError { message }
  }
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
}
"""


@dataclass(frozen=True)
class Dagster:
    """Running services and the address of the UI."""

    url: str
    services: list[Service]

    def check(self) -> None:
        """Raise PlatformError, with the end of its log, when one of the processes has ended."""
        for service in self.services:
            service.check()

    def problems(self) -> list[str]:
        """What is not well, in words, as the webserver tells it; empty: all is. Raises no error for a dead service."""
        try:
            answer = requests.post(f"{self.url}/graphql", json={"query": HEALTH_QUERY}, timeout=HEALTH_TIMEOUT_S)
            answer.raise_for_status()
            found = answer.json()["data"]
        except (requests.RequestException, ValueError, KeyError) as error:
            return [f"The webserver does not answer: {error}"]
        return [*_location_problems(found["workspaceOrError"]), *_daemon_problems(found["instance"]["daemonHealth"])]

    def wait_until_healthy(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until nothing is wrong. Raises PlatformError when a process ends or the time is over."""
        deadline = time.monotonic() + timeout_s
        while problems := self.problems():
            self.check()
            if time.monotonic() > deadline:
                raise PlatformError(f"Dagster is not healthy after {timeout_s:.0f} s: {' '.join(problems)}")
            time.sleep(0.5)


@contextmanager
def running_dagster(settings: Settings, port: int, env: Mapping[str, str]) -> Iterator[Dagster]:
    """Code location, webserver (answering on ``port``) and daemon for the length of a ``with`` block.

    One process holds the code for the other two: they start faster, and a reload in the UI reaches both.
    """
    create_storage(Path(env["DAGSTER_HOME"]))
    logs = state_directory(settings.root, "logs")
    code_port = free_port(0, "127.0.0.1")
    workspace = state_directory(settings.root, "dagster") / "workspace.yaml"
    workspace.write_text(WORKSPACE.format(port=code_port), encoding="utf-8")
    code_server = ("dagster", "code-server", "start", "-h", "127.0.0.1", "-p", str(code_port), *CODE)
    webserver = ("iot_platform.services.webserver", "-h", settings.host, "-p", str(port), "-w", str(workspace))
    daemon = ("dagster._daemon", "run", "-w", str(workspace))
    commands = {"code-location": code_server, "dagster-webserver": webserver, "dagster-daemon": daemon}
    # Not in the folder of the user: Dagster would read a file .env there, and import modules from it.
    folder = Path(env["DAGSTER_HOME"])
    with ExitStack() as stack:
        services: list[Service] = []
        for name, command in commands.items():
            services.append(Service(name, command, env, logs / f"{name}.log", folder))
            stack.callback(services[-1].stop)
        stack.callback(ignore_stop_signals)  # registered last, so it runs first
        dagster = Dagster(f"http://{settings.host}:{port}", services)
        dagster.wait_until_healthy()
        yield dagster


def _location_problems(workspace: Mapping[str, Any]) -> list[str]:
    if workspace["__typename"] != "Workspace":
        return [f"The workspace cannot be loaded: {workspace.get('message')}"]
    problems = []
    for entry in workspace["locationEntries"]:
        loaded = entry["locationOrLoadError"] or {"__typename": "loading"}
        if loaded["__typename"] != "RepositoryLocation":
            problems.append(f"Code location {entry['name']}: {loaded.get('message', 'still loading')}")
    return problems or ([] if workspace["locationEntries"] else ["There is no code location."])


def _daemon_problems(health: Mapping[str, Any]) -> list[str]:
    return [
        f"Daemon {status['daemonType']} has no heartbeat."
        for status in health["allDaemonStatuses"]
        if status["required"] and not status["healthy"]
    ]
