"""The preview of the LookML dashboard as a service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import requests

from iot_platform.clickhouse_embedded.record import bracketed
from iot_platform.security.private_files import state_directory
from iot_platform.services.process import Service
from iot_platform.services.signals import ignore_stop_signals
from iot_platform.services.supervision import HEALTH_TIMEOUT_S, wait_until_healthy
from iot_platform.settings import Settings

DASHBOARD_PORT = 3001


@dataclass(frozen=True)
class Dashboard:
    """The running preview and its address."""

    url: str
    service: Service

    def keep_running(self) -> list[str]:
        """Restart the process when it has ended; returns a message then."""
        message = self.service.restart_if_ended()
        return [message] if message else []

    def problems(self) -> list[str]:
        """A message if it does not answer, else nothing. The page itself shows an outage of ClickHouse."""
        try:
            requests.get(f"{self.url}/healthz", timeout=HEALTH_TIMEOUT_S).raise_for_status()
        except requests.RequestException as error:
            return [f"The dashboard does not answer: {error} Log: {self.service.log}"]
        return []


@contextmanager
def running_dashboard(
    settings: Settings, port: int, env: Mapping[str, str], report: Callable[[str], None]
) -> Iterator[Dashboard]:
    """The preview, answering on ``port``, for the length of a ``with`` block.

    ``report`` gets a message when the start takes long.
    """
    command = ("iot_platform", "dashboard", "--port", str(port))
    service = Service("dashboard", command, env, state_directory(settings.root, "logs") / "dashboard.log")
    try:
        dashboard = Dashboard(f"http://{bracketed(settings.host)}:{port}", service)
        wait_until_healthy(dashboard, [service], report)
        yield dashboard
    finally:
        ignore_stop_signals()
        service.stop()
