"""Watching services: problems are reported, and watching fails after a timeout, if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from iot_platform.errors import PlatformError
from iot_platform.services.supervision import HEALTH_INTERVAL_S, watch


class EndOfTestError(Exception):
    """Nothing more happens."""


@dataclass
class Story:
    """A service whose health checks find one problem after the other; empty: it is well."""

    health: Iterator[str]
    restarts: list[str]
    url: str = "http://127.0.0.1:1"

    def keep_running(self) -> list[str]:
        return [self.restarts.pop()] if self.restarts else []

    def problems(self) -> list[str]:
        try:
            problem = next(self.health)
        except StopIteration:
            raise EndOfTestError from None
        return [problem] if problem else []


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iot_platform.services.supervision.time.sleep", lambda seconds: None)


def watched(health: list[str], timeout_s: float | None, restarts: list[str] | None = None) -> list[str]:
    """What is reported until the story or the patience ends."""
    reports: list[str] = []
    with pytest.raises(EndOfTestError):
        watch([Story(iter(health), restarts or [])], reports.append, timeout_s)
    return reports


def test_problems_and_recoveries_are_reported() -> None:
    assert watched(["", "away", "away", "", ""], timeout_s=3 * HEALTH_INTERVAL_S) == [
        f"Waiting, not healthy for {HEALTH_INTERVAL_S} s: away",
        f"Waiting, not healthy for {2 * HEALTH_INTERVAL_S} s: away",
        "Healthy again.",
    ]
    assert watched([""], timeout_s=60, restarts=["It was started again."]) == ["It was started again."]


def test_watching_fails_after_the_timeout() -> None:
    with pytest.raises(PlatformError, match=f"Not healthy for {2 * HEALTH_INTERVAL_S} s: away"):
        watched(["away"] * 5, timeout_s=2 * HEALTH_INTERVAL_S)


def test_a_demo_waits_for_ever() -> None:
    assert len(watched(["away"] * 100, timeout_s=None)) == 100
