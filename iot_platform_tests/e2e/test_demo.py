"""The demo and the commands around it, as a newcomer runs them."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from iot_platform.layers.catalog import DERIVED_LAYERS, RAW_TABLE
from iot_platform_tests.e2e.commands import environment, iot_platform

SMALL = {"IOT_SIMULATOR_DEVICES": "20", "IOT_SIMULATOR_INTERVAL_S": "300"}
LAYERS = [RAW_TABLE, *(layer.name for layer in DERIVED_LAYERS)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "home"


@pytest.fixture(scope="module")
def env(home: Path) -> dict[str, str]:
    return environment(home, **SMALL)


@pytest.fixture(scope="module")
def summary(env: dict[str, str]) -> dict[str, Any]:
    """The last line of a first demo of three days."""
    output = iot_platform(env, "demo", "--exit", "--json", "--days", "3")
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def processes_of(home: Path) -> list[psutil.Process]:
    """Processes whose environment names the home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("IOT_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    return found


def test_everything_is_proved_and_conserved(summary: dict[str, Any], home: Path) -> None:
    assert summary["proved"] is True and summary["conserved"] is True
    layers = summary["layers"]
    assert isinstance(layers, dict) and list(layers) == LAYERS
    assert layers["l2_power_cleaned"]["kWh"] == layers["l4_power_agg_hourly"]["kWh"] > 0
    assert layers["l2_power_cleaned"]["partitions"] == 3
    assert summary["unenriched"] == 0 and summary["duplicates"] > 0
    assert processes_of(home) == []


def test_status_says_the_same_later(summary: dict[str, Any], env: dict[str, str]) -> None:
    status = json.loads(iot_platform(env, "status", "--json"))
    assert status["layers"] == summary["layers"] and status["conserved"]
    assert "l4_power_agg_hourly" in iot_platform(env, "status")


def test_damage_is_reported_then_repaired(summary: dict[str, Any], env: dict[str, str]) -> None:
    iot_platform(env, "sql", "ALTER TABLE l3_power_by_version DELETE WHERE device_id = 3 SETTINGS mutations_sync = 1")
    status = json.loads(iot_platform(env, "status", "--json"))
    assert not status["conserved"] and not status["layers"]["l3_power_joined"]["proved"]
    iot_platform(env, "prove", "--dry-run", exit_code=1)
    text = iot_platform(env, "prove")
    assert "l3_power_joined" in text and "rebuilt, equal" in text
    proofs = json.loads(iot_platform(env, "prove", "--json"))
    assert proofs["proved"] and not any(proof["was_rebuilt"] for proof in proofs["proofs"])
    assert json.loads(iot_platform(env, "status", "--json"))["conserved"]


def test_a_window_is_simulated_once(summary: dict[str, Any], env: dict[str, str]) -> None:
    day = (dt.datetime.now(dt.UTC) - dt.timedelta(days=1)).strftime("%Y-%m-%d")
    result = json.loads(iot_platform(env, "simulate", "--from", day, "--to", f"{day}T12:00", "--json"))
    assert result["rows"] == 0


def test_sql_prints_tables_and_json(summary: dict[str, Any], env: dict[str, str]) -> None:
    rows = json.loads(iot_platform(env, "sql", "SELECT count() AS n FROM l2_power_cleaned", "--json"))
    assert rows == [{"n": summary["layers"]["l2_power_cleaned"]["rows"]}]
    text = iot_platform(env, "sql", "SELECT '[/x] [abc]def' AS hello, 0.0004 AS small, 1000000001 AS id")
    assert all(part in text for part in ("hello", "[/x] [abc]def", "0.0004", "1000000001"))
    assert "Error: " in iot_platform(env, "sql", "SELECT * FROM nowhere", exit_code=1)


def test_migrate_has_nothing_left_to_do(summary: dict[str, Any], env: dict[str, str]) -> None:
    assert "up to date" in iot_platform(env, "migrate")


@dataclass
class Running:
    """A demo that keeps running: its process, the addresses of its pages, and the summary it printed."""

    process: subprocess.Popen[str]
    url: str = ""
    dashboard_url: str = ""
    summary: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def running(summary: dict[str, Any], env: dict[str, str], home: Path) -> Iterator[Running]:
    """A second demo in the same home that keeps running."""
    process = subprocess.Popen(
        [sys.executable, "-m", "iot_platform", "demo", "--days", "3", "--port", "0", "--json"],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    demo = Running(process)
    try:
        for line in process.stdout:
            if match := re.search(r"Dagster UI: (http://\S+)", line):
                demo.url = match.group(1)
            if match := re.search(r"Dashboard: (http://\S+)", line):
                demo.dashboard_url = match.group(1)
            if line.startswith("{"):
                demo.summary = json.loads(line)
            if "Ctrl-C" in line:
                break
        yield demo
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


def graphql(url: str, query: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        data: dict[str, Any] = json.load(response)["data"]
    return data


SENSOR = """{ sensorOrError(sensorSelector: {repositoryName: "__repository__", repositoryLocationName: "LOCATION",
  sensorName: "simulated_ingestion_sensor"}) {
    ... on Sensor { sensorState { status ticks(limit: 5) { status } } } } }"""


def test_a_second_demo_adds_only_what_is_new_and_goes_on_until_it_is_interrupted(
    running: Running, summary: dict[str, Any], home: Path
) -> None:
    assert running.summary["proved"] and running.summary["conserved"]
    grown = running.summary["layers"]["l1_power_raw"]["rows"] - summary["layers"]["l1_power_raw"]["rows"]
    assert 0 <= grown < 20 * 12 * 6  # not more than what six hours bring

    with urllib.request.urlopen(f"{running.dashboard_url}/api/tiles/meters", timeout=30) as response:
        assert json.load(response)["data"] == {"power_usage.devices": [20]}
    locations = graphql(running.url, "{ workspaceOrError { ... on Workspace { locationEntries { name } } } }")
    [entry] = locations["workspaceOrError"]["locationEntries"]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        state = graphql(running.url, SENSOR.replace("LOCATION", entry["name"]))["sensorOrError"]["sensorState"]
        if any(tick["status"] == "SUCCESS" for tick in state["ticks"]):
            break
        time.sleep(1)
    assert state["status"] == "RUNNING" and any(tick["status"] == "SUCCESS" for tick in state["ticks"]), state
    os.kill(running.process.pid, signal.SIGINT)
    assert running.process.wait(90) == 0
    deadline = time.monotonic() + 10
    while processes_of(home) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_of(home) == []
