"""Dagster's health: each problem in one line, with the log to read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from iot_platform.services.dagster import CODE_LOCATION, DAEMON, MESSAGE_LENGTH, WEBSERVER, Dagster
from iot_platform.services.process import Service

LOADED = {"name": "iot_platform", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
BROKEN = {
    "name": "iot_platform",
    "locationOrLoadError": {"__typename": "PythonError", "message": "Syntax error\n\n  in line 7\n" + "x" * 2_000},
}


class Raw:
    """Whatever somebody answers."""

    def __init__(self, content: object) -> None:
        self._content = content

    def raise_for_status(self) -> None:
        pass

    def json(self) -> object:
        return self._content


class Answer:
    """What the webserver answers to the health query."""

    def __init__(self, locations: list[dict[str, Any]], *, daemon_is_healthy: bool = True) -> None:
        status = {"daemonType": "SENSOR", "required": True, "healthy": daemon_is_healthy}
        self._data = {
            "workspaceOrError": {"__typename": "Workspace", "locationEntries": locations},
            "instance": {"daemonHealth": {"allDaemonStatuses": [status]}},
        }

    def raise_for_status(self) -> None:
        pass

    def json(self) -> dict[str, Any]:
        return {"data": self._data}


@pytest.fixture
def dagster(tmp_path: Path) -> Iterator[Dagster]:
    services = [Service(name, ("this",), os.environ, tmp_path / name) for name in (CODE_LOCATION, WEBSERVER, DAEMON)]
    yield Dagster("http://127.0.0.1:1", services)
    for service in services:
        service.stop()


def test_problems_are_lines_that_name_the_log(
    dagster: Dagster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [away] = dagster.problems()
    assert away.startswith("The webserver does not answer: ") and away.endswith(f" Log: {tmp_path / WEBSERVER}")
    monkeypatch.setattr(requests, "post", lambda *_, **__: Answer([LOADED]))
    assert dagster.problems() == []
    monkeypatch.setattr(requests, "post", lambda *_, **__: Answer([BROKEN], daemon_is_healthy=False))
    broken, silent = dagster.problems()
    assert broken.startswith("Code location iot_platform: Syntax error in line 7 xxx") and "\n" not in broken
    assert broken.endswith(f"x Log: {tmp_path / CODE_LOCATION}") and len(broken) < MESSAGE_LENGTH + 300
    assert silent == f"Daemon SENSOR has no heartbeat. Log: {tmp_path / DAEMON}"
    monkeypatch.setattr(requests, "post", lambda *_, **__: Answer([]))
    assert dagster.problems() == [f"There is no code location. Log: {tmp_path / CODE_LOCATION}"]


@pytest.mark.parametrize(
    "content",
    [
        {"data": None, "errors": [{"message": "database is locked"}]},
        {"data": {"workspaceOrError": {"__typename": "Workspace", "locationEntries": []}, "instance": None}},
        {"data": {"workspaceOrError": None, "instance": None}},
        *({"errors": []}, [], None, "x" * 5_000),
    ],
)
def test_an_answer_without_data_is_a_problem_and_ends_nothing(
    dagster: Dagster, content: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "post", lambda *_, **__: Raw(content))
    [problem] = dagster.problems()
    assert problem.startswith("The webserver answers ") and len(problem) < MESSAGE_LENGTH + 300
