"""A code location with Dagster's webserver in front, ours or the stock one; no daemon, so launched runs stay queued."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from iot_platform.services.dagster import CODE, CODE_SERVER, WORKSPACE
from iot_platform.services.instance import create_storage, dagster_home
from iot_platform.services.process import Service, free_port
from iot_platform.settings import Settings
from iot_platform_tests.e2e.commands import environment

START_TIMEOUT_S = 120
GUARDED, STOCK = "iot_platform.services.webserver", "dagster_webserver"
JOB, ASSET = "refresh_metadata_job", "device_metadata"
LAUNCH = (
    'mutation L { launchRun(executionParams: {selector: {repositoryLocationName: "iot_platform", repositoryName: '
    f'"__repository__", jobName: "{JOB}"}}, runConfigData: "{{}}", mode: "default"}}) {{ __typename }} }}'
)
STATE = (
    "{ runsOrError { ... on Runs { results { runId } } } "
    f'assetOrError(assetKey: {{path: ["{ASSET}"]}}) {{ ... on Asset {{ assetMaterializations {{ runId }} }} }} '
    "workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"
)


@dataclass(frozen=True)
class Webserver:
    """A webserver on a port of 127.0.0.1."""

    port: int

    @property
    def url(self) -> str:
        """Its address by number."""
        return f"http://127.0.0.1:{self.port}"

    def state(self) -> dict[str, Any]:
        """What a program learns over GraphQL."""
        answer = requests.post(f"{self.url}/graphql", json={"query": STATE}, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()["data"]
        return found

    def changes(self) -> int:
        """How many runs were launched and materializations reported."""
        state = self.state()
        return len(state["runsOrError"]["results"]) + len(state["assetOrError"].get("assetMaterializations", []))


@contextmanager
def webserver(module: str, home: Path, **settings: str) -> Iterator[Webserver]:
    """A webserver of this module over the platform's code location, in a home of its own."""
    directory = dagster_home(Settings(home=home))
    env = {**environment(home, **settings), "DAGSTER_HOME": str(directory)}
    create_storage(directory)
    code_port, port = free_port(0, "127.0.0.1"), free_port(0, "127.0.0.1")
    workspace = directory / "workspace.yaml"
    workspace.write_text(WORKSPACE.format(port=code_port))
    commands = {
        "code": (*CODE_SERVER, "-h", "127.0.0.1", "-p", str(code_port), *CODE),
        "webserver": (module, "-h", "127.0.0.1", "-p", str(port), "-w", str(workspace)),
    }
    with ExitStack() as stack:
        services = [Service(name, command, env, home / f"{name}.log", home) for name, command in commands.items()]
        for service in services:
            stack.callback(service.stop)
        found = Webserver(port)
        _wait(found, services)
        yield found


def _wait(server: Webserver, services: list[Service]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _is_loaded(server):
        for service in services:
            service.check()
        assert time.monotonic() < deadline
        time.sleep(0.3)


def _is_loaded(server: Webserver) -> bool:
    try:
        entries = server.state()["workspaceOrError"]["locationEntries"]
    except requests.RequestException:
        return False
    return [(entry["locationOrLoadError"] or {}).get("__typename") for entry in entries] == ["RepositoryLocation"]
