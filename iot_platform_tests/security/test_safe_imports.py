"""Processes of the platform import and read nothing from a hostile current directory."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from iot_platform.security.child_environment import python_environment
from iot_platform_tests.e2e.commands import environment

# Names that the platform, Dagster and its commands import, and files that Python itself looks for.
MODULES = ["gql", "dagster", "dagster_webserver", "yaml", "click", "pydantic", "uvicorn", "clickhouse_connect", "chdb"]
MODULES += ["iot_platform", "sitecustomize", "usercustomize", "json", "encodings", "zstandard", "grpc", "colorama"]
TIMEOUT_S = 120
LAUNCH = """mutation { launchRun(executionParams: {mode: "default", runConfigData: "{}", selector: {
  repositoryLocationName: "iot_platform", repositoryName: "__repository__", jobName: "refresh_metadata_job"}}) {
  __typename ... on LaunchRunSuccess { run { runId } } } }"""


def hostile_folder(folder: Path) -> Path:
    """Fill a directory with modules that write to a file when they are imported; returns this file."""
    folder.mkdir()
    marks = folder.with_name("marks")
    for name in MODULES:
        (folder / f"{name}.py").write_text(
            f"import sys\nwith open({str(marks)!r}, 'a') as file:\n    file.write('{name} ' + repr(sys.argv) + '\\n')\n"
            f"raise ImportError('hostile {name}')\n"
        )
    (folder / ".env").write_text("HOSTILE=1\nDAGSTER_GRPC_TIMEOUT_SECONDS=0\n")
    return marks


def ask(url: str, query: str) -> dict[str, object]:
    answer = requests.post(f"{url}/graphql", json={"query": query}, timeout=30)
    answer.raise_for_status()
    data: dict[str, object] = answer.json()["data"]
    return data


def wait_for_run(url: str, run_id: str) -> str:
    """Wait until a run has ended; returns its status."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        run = ask(url, f'{{ runOrError(runId: "{run_id}") {{ ... on Run {{ status }} }} }}')["runOrError"]
        if run["status"] in ("SUCCESS", "FAILURE", "CANCELED"):  # type: ignore[index]
            return str(run["status"])  # type: ignore[index]
        time.sleep(0.5)
    raise AssertionError("The run did not end.")


def test_up_imports_nothing_from_the_current_directory(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "folder"
    marks = hostile_folder(folder)
    env = environment(home, IOT_CLICKHOUSE_PORT="0", IOT_SIMULATOR_DEVICES="3")
    command = [
        str(Path(sys.executable).with_name("iot-platform")),
        "up",
        "--port",
        "0",
        "--dashboard-port",
        "0",
        "--json",
    ]
    with subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line, marks.read_text() if marks.exists() else "up has ended"
            url = json.loads(line)["url"]
            run = ask(url, LAUNCH)["launchRun"]["run"]["runId"]  # type: ignore[index]
            assert wait_for_run(url, run) == "SUCCESS"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(TIMEOUT_S)
    assert not marks.exists(), marks.read_text()
    logs = [path.read_text(errors="replace") for path in (home / "logs").iterdir()]
    assert logs and not any("hostile" in text.lower() for text in logs)


@pytest.mark.parametrize(
    ("path", "kept"),
    [(None, None), ("", None), (":/lib", "/lib"), ("/a::/b:", "/a:/b"), (".:lib:/a", "/a")],
)
def test_the_import_path_of_a_child_process_has_no_current_directory(path: str | None, kept: str | None) -> None:
    given = {"HOME": "/root"} if path is None else {"HOME": "/root", "PYTHONPATH": path}
    assert python_environment(given).get("PYTHONPATH") == kept
    assert python_environment(given)["PYTHONSAFEPATH"] == "1"
