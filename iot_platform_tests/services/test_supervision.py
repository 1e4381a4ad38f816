"""Waiting for services to start and watching them: problems are reported, and both fail after a timeout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import pytest

from iot_platform.errors import PlatformError
from iot_platform.services.process import Service
from iot_platform.services.supervision import HEALTH_INTERVAL_S, START_TIMEOUT_S, wait_until_healthy, watch


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


class EndedService(Service):
    """A process that has ended."""

    def __init__(self) -> None:
        pass

    def check(self) -> None:
        raise PlatformError("It has ended.")


class Clock:
    """A clock that only goes on while somebody sleeps."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iot_platform.services.supervision.time", Clock())


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


def test_a_long_start_is_reported() -> None:
    reports: list[str] = []
    wait_until_healthy(Story(iter(["away"] * 130 + [""]), []), [], reports.append)
    assert reports == ["Still starting after 30 s. away", "Still starting after 61 s. away"]


def test_a_start_that_takes_too_long_fails() -> None:
    with pytest.raises(PlatformError, match=f"Not healthy after {START_TIMEOUT_S} s: away"):
        wait_until_healthy(Story(repeat("away"), []), [], lambda report: None)


def test_a_start_fails_at_once_when_a_process_has_ended() -> None:
    with pytest.raises(PlatformError, match="It has ended"):
        wait_until_healthy(Story(iter(["away"]), []), [EndedService()], lambda report: None)
