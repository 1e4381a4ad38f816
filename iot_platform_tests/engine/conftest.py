"""Fixtures of tests on the real engine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.migrations import migrate
from iot_platform.clickhouse.server import Endpoint
from iot_platform.settings import Settings


@pytest.fixture
def schema(client: Client) -> Client:
    """A client whose fresh database has the whole schema."""
    migrate(client, Settings())
    return client


@pytest.fixture
def platform(server: Endpoint, schema: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Settings (by environment, as Dagster's processes get them) of a small platform in the fresh database."""
    login = f"{quote(server.username, safe='')}:{quote(server.password, safe='')}"
    environment = {
        "HOME": str(tmp_path / "home"),
        "CLICKHOUSE_URL": server.url.replace("://", f"://{login}@"),
        "CLICKHOUSE_DATABASE": str(schema.database),
        "SIMULATOR_ENABLED": "true",
        "SIMULATOR_DEVICES": "10",
        "SIMULATOR_INTERVAL_S": "900",
        "FIRST_DAY": "2026-01-01",
    }
    for name, value in environment.items():
        monkeypatch.setenv(f"IOT_{name}", value)
    return schema
