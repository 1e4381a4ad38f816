"""Wait until a part of the platform has started, and watch the running ones until one of them fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

from iot_platform.errors import PlatformError
from iot_platform.services.process import Service

# A start may take minutes on a busy machine.
START_TIMEOUT_S = 600
START_POLL_S = 0.5
# For the answer to one question about a part's health.
HEALTH_TIMEOUT_S = 10
HEALTH_INTERVAL_S = 30
# Long enough for a suspended laptop or a paused virtual machine to recover by itself.
UNHEALTHY_TIMEOUT_S = 600


class Watched(Protocol):
    """A running part of the platform with a web page at ``url``."""

    @property
    def url(self) -> str:
        """Address of its web page."""

    def keep_running(self) -> list[str]:
        """Restart processes that have ended and may be restarted; returns a message for each.

        Raises PlatformError when a process has ended that is not restarted.
        """

    def problems(self) -> list[str]:
        """The current problems, one message each; empty: all is healthy."""


def wait_until_healthy(part: Watched, services: Sequence[Service], report: Callable[[str], None]) -> None:
    """Wait until a part that was just started has no problems; ``report`` gets them every HEALTH_INTERVAL_S.

    Raises PlatformError when one of its ``services`` ends, or after START_TIMEOUT_S.
    """
    started = time.monotonic()
    reported = 0.0
    while problems := part.problems():
        for service in services:
            service.check()
        waited = time.monotonic() - started
        if waited > START_TIMEOUT_S:
            raise PlatformError(f"Not healthy after {START_TIMEOUT_S} s: {' '.join(problems)}")
        if waited - reported > HEALTH_INTERVAL_S:
            reported = waited
            report(f"Still starting after {waited:.0f} s. {' '.join(problems)}")
        time.sleep(START_POLL_S)


def watch(services: Sequence[Watched], report: Callable[[str], None], timeout_s: float | None) -> NoReturn:
    """Check processes every second and health every HEALTH_INTERVAL_S; ``report`` gets restarts and health problems.

    Raises PlatformError when a process has ended for good, or when something was unhealthy for ``timeout_s`` seconds
    (None: waits for ever).
    """
    failed_checks = 0
    while True:
        for _ in range(HEALTH_INTERVAL_S):
            time.sleep(1)
            for service in services:
                for message in service.keep_running():
                    report(message)
        problems = [problem for service in services for problem in service.problems()]
        if failed_checks and not problems:
            report("Healthy again.")
        failed_checks = failed_checks + 1 if problems else 0
        unhealthy_s = failed_checks * HEALTH_INTERVAL_S
        if problems and timeout_s is not None and unhealthy_s >= timeout_s:
            raise PlatformError(f"Not healthy for {unhealthy_s} s: {' '.join(problems)}")
        for problem in problems:
            report(f"Waiting, not healthy for {unhealthy_s} s: {problem}")
