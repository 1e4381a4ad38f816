"""Times of Dagster: `iot-platform up` until healthy, and runs from launch to end."""

from __future__ import annotations

import datetime as dt
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import requests

from iot_platform_tests.bench.inserts import Say
from iot_platform_tests.bench.processes import clean_environment, measure
from iot_platform_tests.bench.sizes import Sizes

RUNS = 5
WAIT_S = 300.0
POLL_S = 0.05
JOBS = {"ingestion": "ingestion_job", "proof of one day with its checks": "prove_job"}

_LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_FAILURES = """query ($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events { __typename
  ... on MessageEvent { message stepKey }
  ... on ExecutionStepFailureEvent { error { message causes { message } } }
  ... on AssetCheckEvaluationEvent { evaluation { checkName success description } } } } } }"""
_STATE = """query ($id: ID!) { runOrError(runId: $id) { ... on Run { status startTime endTime } } }"""


def measure_dagster(directory: Path, sizes: Sizes, say: Say) -> dict[str, Any]:
    """Seconds until healthy; for each kind of run: seconds from launch to end, and of these in its process."""
    day = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    env = clean_environment(
        directory / "dagster", IOT_FIRST_DAY=str(day - dt.timedelta(days=1)), **dict(sizes.demo_settings)
    )
    say("dagster: up until healthy")
    with subprocess.Popen(
        [sys.executable, "-m", "iot_platform", "up", "--port", "0", "--json"],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as up:
        try:
            assert up.stdout is not None
            line = up.stdout.readline()
            if not line:
                raise RuntimeError(f"iot-platform up ended with exit code {up.wait(120)}.")
            healthy = json.loads(line)
            # Without metadata the checks of L3 would fail and stop each proof.
            _run(healthy["url"], "refresh_metadata_job", "")
            kinds = {}
            for kind, job in JOBS.items():
                say(f"dagster: {kind}")
                runs = [_run(healthy["url"], job, str(day)) for _ in range(RUNS)]
                kinds[kind] = {
                    "seconds": [total for total, _ in runs],
                    "seconds_of_its_process": [own for _, own in runs],
                }
            command = measure(env, "prove", "--full", "--from", str(day), "--to", str(day), "--json").figures()
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(120)
    return {"seconds_until_healthy": healthy["seconds"], "runs": kinds, "prove_command": command}


def summary(part: dict[str, Any]) -> list[str]:
    """The figures as lines of text."""
    lines = [f"iot-platform up: healthy after {part['seconds_until_healthy']:.1f} s"]
    for kind, run in part["runs"].items():
        total, own = run["seconds"], run["seconds_of_its_process"]
        lines.append(
            f"Dagster run, {kind}: {median(total):.1f} s ({min(total):.1f} - {max(total):.1f}) from launch to end, "
            f"{median(own):.1f} s of them in its process"
        )
    return [*lines, f"The same proof by iot-platform prove: {part['prove_command']['seconds']:.1f} s"]


def _run(url: str, job: str, day: str) -> tuple[float, float]:
    params = {
        "selector": {
            "repositoryName": "__repository__",
            "repositoryLocationName": "iot_platform",
            "pipelineName": job,
        },
        "mode": "default",
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": day}] if day else []},
    }
    started = time.monotonic()
    launched = _ask(url, _LAUNCH, params=params)["launchRun"]
    if launched["__typename"] != "LaunchRunSuccess":
        raise RuntimeError(f"{job} was not launched: {launched}")
    while time.monotonic() - started < WAIT_S:
        state = _ask(url, _STATE, id=launched["run"]["runId"])["runOrError"]
        if state["status"] == "SUCCESS":
            return time.monotonic() - started, state["endTime"] - state["startTime"]
        if state["status"] in ("FAILURE", "CANCELED"):
            break
        time.sleep(POLL_S)
    raise RuntimeError(f"{job} of {day} ended as {state['status']}: {_failures(url, launched['run']['runId'])}")


def _failures(url: str, run_id: str) -> str:
    """The errors and failed checks of a run, as text."""
    events = _ask(url, _FAILURES, id=run_id)["logsForRun"]["events"]
    found = [f"{event['stepKey']}: {event['error']}" for event in events if event.get("error")]
    checks = [event["evaluation"] for event in events if event.get("evaluation")]
    found += [f"{check['checkName']}: {check['description']}" for check in checks if not check["success"]]
    return "\n".join(found) or "\n".join(event["message"] for event in events[-5:])


def _ask(url: str, query: str, **variables: Any) -> dict[str, Any]:
    answer = requests.post(f"{url}/graphql", json={"query": query, "variables": variables}, timeout=30)
    answer.raise_for_status()
    data: dict[str, Any] = answer.json()["data"]
    return data
