"""A running platform: ``iot-platform up`` as a process, and what its Dagster says over GraphQL."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

WAIT_S = 300.0

RUNS = """query($filter: RunsFilter) { runsOrError(limit: 500, filter: $filter) {
  ... on Runs { results { runId status jobName creationTime startTime endTime tags { key value } } } } }"""
LOCATIONS = """{ workspaceOrError { ... on Workspace {
  locationEntries { locationOrLoadError { __typename } } } } }"""
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "iot_platform"}


def wait_until(is_so: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"Not within {timeout_s:.0f} s: {what}"
        time.sleep(0.5)


@dataclass
class Running:
    """``iot-platform up``: its environment, the addresses of its pages ("": none), the file with its standard error."""

    env: dict[str, str]
    url: str
    dashboard_url: str
    errors: Path

    @property
    def home(self) -> Path:
        """The directory of its state."""
        return Path(self.env["IOT_HOME"])

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask Dagster's webserver."""
        answer = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=90)
        found = answer.json()
        assert "errors" not in found, found
        data: dict[str, Any] = found["data"]
        return data

    def runs(self, job: str | None = None) -> list[dict[str, Any]]:
        """Runs, the newest first."""
        wanted = {"pipelineName": job} if job else {}
        found: list[dict[str, Any]] = self.ask(RUNS, filter=wanted)["runsOrError"]["results"]
        return found

    def is_loaded(self) -> bool:
        """Whether the code location can be used."""
        entries = self.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
        return [(entry["locationOrLoadError"] or {}).get("__typename") for entry in entries] == ["RepositoryLocation"]

    def launch(self, job: str) -> str:
        """Launch a run of a job without partitions; its id."""
        params = {"selector": {**REPOSITORY, "pipelineName": job}, "mode": "default", "runConfigData": {}}
        launched = self.ask(LAUNCH, params=params)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id: str = launched["run"]["runId"]
        return run_id

    def wait_for_success(self, run_id: str) -> None:
        """Wait until a run has succeeded."""

        def has_ended() -> bool:
            [status] = [run["status"] for run in self.runs() if run["runId"] == run_id]
            assert status not in ("FAILURE", "CANCELED")
            return bool(status == "SUCCESS")

        wait_until(has_ended, f"run {run_id}")

    def code_server(self) -> psutil.Process:
        """The process that serves the code location."""
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if words[3:5] == ["api", "grpc"] and process.environ().get("IOT_HOME") == str(self.home):
                return process
        raise AssertionError("There is no code server.")


@contextmanager
def running(env: dict[str, str], directory: Path, *, with_dashboard: bool = False) -> Iterator[Running]:
    """``iot-platform up`` for the length of a block; its standard error goes to a file in ``directory``."""
    errors = directory / "up.err"
    dashboard = ["--dashboard-port", "0"] if with_dashboard else ["--no-dashboard"]
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "iot_platform", "up", "--port", "0", *dashboard, "--json"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, errors.read_text()
        healthy = json.loads(line)
        yield Running(env, healthy["url"], healthy.get("dashboard_url", ""), errors)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0, errors.read_text()
