"""A running embedded server for the whole test session, and a client in a database of its own for each test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import clickhouse_connect
import hypothesis
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.server import Endpoint, running_server
from iot_platform.settings import Settings

# How long an example takes says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(scope="session")
def server_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of ``server``."""
    # The whole session shares this server: a port of its own, so that a developer's server is not in the way.
    return Settings(home=tmp_path_factory.mktemp("home"), clickhouse_url=None, clickhouse_port=0)


@pytest.fixture(scope="session")
def server(server_settings: Settings) -> Iterator[Endpoint]:
    """The embedded server of a temporary home."""
    with running_server(server_settings) as endpoint:
        yield endpoint


@pytest.fixture
def database(server: Endpoint) -> Iterator[str]:
    """The name of a fresh database, dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    with clickhouse_connect.get_client(
        host=server.host, port=server.port, username=server.username, password=server.password
    ) as admin:
        admin.command(f"CREATE DATABASE {name}")
        yield name
        admin.command(f"DROP DATABASE {name} SYNC")


@pytest.fixture
def client(server: Endpoint, database: str) -> Iterator[Client]:
    """A client in the fresh database."""
    with clickhouse_connect.get_client(
        host=server.host, port=server.port, username=server.username, password=server.password, database=database
    ) as connected:
        yield connected
