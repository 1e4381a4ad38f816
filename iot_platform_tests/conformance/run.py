"""Run the suite in its own process, against its own server, and read the outcome of each test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import click

from iot_platform.clickhouse.embedded_server import running_server
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.settings import Settings

_SUITE_TIMEOUT_S = 3600
_TEST_TIMEOUT_S = 180
_PACKAGE = "tests.integration_tests."
_ERROR_CODE = re.compile(r"code: (\d+)", re.IGNORECASE)
# A nested error has a name, too; the name of the answer is the last one.
_ERROR_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)(?: \(version|\s*$)")


@dataclass(frozen=True)
class Outcome:
    """The outcome of one test; ``cause``: the class of its failure, or the first line of the message."""

    STATUSES: ClassVar = ("passed", "failed", "skipped")

    test: str
    status: str
    cause: str = ""


def run_suite(suite: Path, work: Path, only: str) -> list[Outcome]:
    """Run the integration tests of the checkout ``suite`` in ``work``; raises ClickException when none ran."""
    # Only the tests are copied. In the checkout they would import its own package, not the installed client.
    shutil.copytree(suite / "tests", work / "tests")
    (work / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = session\n")
    report = work / "report.xml"
    with running_server(Settings(home=work / "home", clickhouse_url=None, clickhouse_port=0)) as endpoint:
        command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "--no-summary", "-p", "no:cacheprovider"]
        command += ["-c", "pytest.ini", f"--timeout={_TEST_TIMEOUT_S}", f"--junitxml={report}", "-k", only]
        done = subprocess.run(
            [*command, "tests/integration_tests"],
            cwd=work,
            env=_environment(endpoint),
            stdout=sys.stderr,
            timeout=_SUITE_TIMEOUT_S,
            check=False,
        )
    if done.returncode not in (0, 1) or not report.exists():
        raise click.ClickException(f"pytest did not run the suite (exit code {done.returncode}).")
    return read_report(report)


def _environment(endpoint: Endpoint) -> dict[str, str]:
    """The variables from which the suite's conftest takes its server."""
    prefix = "CLICKHOUSE_CONNECT_TEST_"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(prefix)}
    return inherited | {
        f"{prefix}HOST": endpoint.host,
        f"{prefix}PORT": str(endpoint.port),
        f"{prefix}USER": endpoint.username,
        f"{prefix}PASSWORD": endpoint.password,
        "TZ": "UTC",
    }


def read_report(report: Path) -> list[Outcome]:
    """The outcomes in a JUnit report of pytest."""
    outcomes = []
    for case in ElementTree.parse(report).iter("testcase"):
        test = f"{case.get('classname', '').removeprefix(_PACKAGE)}::{case.get('name')}"
        problem = next((child for child in case if child.tag in ("failure", "error")), None)
        if problem is not None:
            outcomes.append(Outcome(test, "failed", cause(problem.get("message") or "")))
        else:
            outcomes.append(Outcome(test, "skipped" if case.find("skipped") is not None else "passed"))
    return outcomes


def cause(message: str) -> str:
    """The class of a failure: ClickHouse's code and name when the server said so, else Python's exception."""
    code = _ERROR_CODE.search(message)
    if code:
        names = _ERROR_NAME.findall(message)
        return " ".join(["ClickHouse", code[1], *names[-1:]])
    first = message.strip().splitlines()
    return first[0][:200] if first else "no message"
