"""Fixtures of tests on the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.migrations import migrate
from iot_platform.clickhouse.server import Endpoint, ServerFiles
from iot_platform.settings import Settings
from iot_platform_tests.looker.lookml_readings import filled_marts, joined_readings


@pytest.fixture
def server_log(server: Endpoint, server_settings: Settings) -> Path:
    """What the server wrote to its log."""
    return ServerFiles(server_settings).log


@pytest.fixture
def http(server: Endpoint, database: str) -> Iterator[httpx.Client]:
    """A raw HTTP client in the fresh database."""
    with httpx.Client(
        base_url=server.url,
        headers={"X-ClickHouse-User": server.username, "X-ClickHouse-Key": server.password},
        params={"database": database},
        timeout=60,
    ) as client:
        yield client


@pytest.fixture
def plain(http: httpx.Client) -> Iterator[httpx.Client]:
    """A client that names no database."""
    with httpx.Client(base_url=http.base_url, headers=http.headers, timeout=60) as client:
        yield client


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


@pytest.fixture(scope="module")
def readings() -> pd.DataFrame:
    """The readings behind ``marts``, with the metadata and the local time that pandas finds."""
    return joined_readings()


@pytest.fixture(scope="module")
def marts(server: Endpoint) -> Iterator[Client]:
    """A database with readings in four time zones."""
    with filled_marts(server) as client:
        yield client
