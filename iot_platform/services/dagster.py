"""Dagster's code server, webserver and daemon: start them, restart them, check their health."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from iot_platform.clickhouse_embedded.record import bracketed
from iot_platform.security.private_files import state_directory
from iot_platform.services.instance import create_storage
from iot_platform.services.process import Service, free_port
from iot_platform.services.signals import ignore_stop_signals
from iot_platform.services.supervision import HEALTH_TIMEOUT_S, wait_until_healthy
from iot_platform.settings import PACKAGE_DIR, Settings

# Named as in the checkout's workspace.yaml: `dagster dev` then shares the state of sensors and schedules.
WORKSPACE = """\
load_from:
  - grpc_server:
      host: 127.0.0.1
      port: {port}
      location_name: iot_platform
"""
# How Dagster's commands find the code. They import from the working directory first, so it is that of the platform.
CODE = ("-m", "iot_platform.definitions", "-d", str(PACKAGE_DIR.parent))

# Names of the services, and of their logs.
CODE_LOCATION, WEBSERVER, DAEMON = "code-location", "dagster-webserver", "dagster-daemon"
# Not `dagster code-server start`: it serves the code from a child process, which ends itself after 30 seconds without
# a heartbeat (a suspended laptop is enough), while the parent goes on and looks healthy. This one is a single process
# without heartbeats: it runs or it has ended.
CODE_SERVER = ("dagster", "api", "grpc")

# Error messages are cut at this length: they may hold a whole traceback.
MESSAGE_LENGTH = 500
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

    def keep_running(self) -> list[str]:
        """Restart processes that have ended; returns a message for each."""
        messages = [service.restart_if_ended() for service in self.services]
        return [message for message in messages if message]

    def problems(self) -> list[str]:
        """The current problems that the webserver reports, one message each; empty: all is healthy."""
        try:
            answer = requests.post(f"{self.url}/graphql", json={"query": HEALTH_QUERY}, timeout=HEALTH_TIMEOUT_S)
            answer.raise_for_status()
            found = answer.json()
        except (requests.RequestException, ValueError) as error:
            return [f"The webserver does not answer: {error} Log: {self._log(WEBSERVER)}"]
        try:
            locations = _location_problems(found["data"]["workspaceOrError"])
            daemons = _daemon_problems(found["data"]["instance"]["daemonHealth"])
        except (TypeError, KeyError):
            # GraphQL puts null where it cannot answer, for example because Dagster's storage is locked.
            return [f"The webserver answers {str(found)[:MESSAGE_LENGTH]} Log: {self._log(WEBSERVER)}"]
        return [
            *(f"{text} Log: {self._log(CODE_LOCATION)}" for text in locations),
            *(f"{text} Log: {self._log(DAEMON)}" for text in daemons),
        ]

    def _log(self, name: str) -> Path:
        return next(service.log for service in self.services if service.name == name)


@contextmanager
def running_dagster(
    settings: Settings, port: int, env: Mapping[str, str], report: Callable[[str], None]
) -> Iterator[Dagster]:
    """Code server, webserver (answering on ``port``) and daemon for the length of a ``with`` block.

    The code server holds the code for the other two. ``report`` gets a message when the start takes long.
    """
    create_storage(Path(env["DAGSTER_HOME"]))
    logs = state_directory(settings.root, "logs")
    code_port = free_port(0, "127.0.0.1")
    workspace = state_directory(settings.root, "dagster") / "workspace.yaml"
    workspace.write_text(WORKSPACE.format(port=code_port), encoding="utf-8")
    code_server = (*CODE_SERVER, "-h", "127.0.0.1", "-p", str(code_port), *CODE)
    webserver = ("iot_platform.services.webserver", "-h", settings.host, "-p", str(port), "-w", str(workspace))
    daemon = ("dagster._daemon", "run", "-w", str(workspace))
    commands = {CODE_LOCATION: code_server, WEBSERVER: webserver, DAEMON: daemon}
    # Not the user's working directory: Dagster would read a file .env there, and import modules from it.
    folder = Path(env["DAGSTER_HOME"])
    with ExitStack() as stack:
        services: list[Service] = []
        for name, command in commands.items():
            services.append(Service(name, command, env, logs / f"{name}.log", folder))
            stack.callback(services[-1].stop)
        stack.callback(ignore_stop_signals)  # registered last, so it runs first
        dagster = Dagster(f"http://{bracketed(settings.host)}:{port}", services)
        wait_until_healthy(dagster, services, report)
        yield dagster


def _location_problems(workspace: Mapping[str, Any]) -> list[str]:
    if workspace["__typename"] != "Workspace":
        return [f"The workspace cannot be loaded: {workspace.get('message')}"]
    problems = []
    for entry in workspace["locationEntries"]:
        loaded = entry["locationOrLoadError"] or {"__typename": "loading"}
        if loaded["__typename"] != "RepositoryLocation":
            message = " ".join(loaded.get("message", "still loading").split())
            problems.append(f"Code location {entry['name']}: {message[:MESSAGE_LENGTH]}")
    return problems or ([] if workspace["locationEntries"] else ["There is no code location."])


def _daemon_problems(health: Mapping[str, Any]) -> list[str]:
    return [
        f"Daemon {status['daemonType']} has no heartbeat."
        for status in health["allDaemonStatuses"]
        if status["required"] and not status["healthy"]
    ]
