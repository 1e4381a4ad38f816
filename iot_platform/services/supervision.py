"""Watch the running parts of the platform until one of them fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

from iot_platform.errors import PlatformError

HEALTH_INTERVAL_S = 30
# A busy machine may miss a heartbeat. A service that fails this many health checks in a row is not well.
MAX_FAILED_CHECKS = 4


class Watched(Protocol):
    """A part of the platform that runs beside us and answers at ``url``."""

    @property
    def url(self) -> str:
        """Address of its web page."""

    def check(self) -> None:
        """Raise PlatformError when one of its processes has ended."""

    def problems(self) -> list[str]:
        """Messages that say what is not well; empty: all is well."""


def watch(services: Sequence[Watched], report: Callable[[str], None]) -> NoReturn:
    """Check processes every second and health every HEALTH_INTERVAL_S; ``report`` gets each health problem.

    Raises PlatformError when a process has ended, or after MAX_FAILED_CHECKS failed health checks in a row.
    """
    failed_checks = 0
    while True:
        for _ in range(HEALTH_INTERVAL_S):
            time.sleep(1)
            for service in services:
                service.check()
        problems = [problem for service in services for problem in service.problems()]
        failed_checks = failed_checks + 1 if problems else 0
        for problem in problems:
            report(f"Not healthy ({failed_checks} of {MAX_FAILED_CHECKS}): {problem}")
        if failed_checks == MAX_FAILED_CHECKS:
            raise PlatformError(f"Not healthy for {failed_checks * HEALTH_INTERVAL_S} s: {' '.join(problems)}")
