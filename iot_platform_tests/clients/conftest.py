"""The table that the clients read."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform_tests.clients.rows import ROWS, TYPES, create_table


@pytest.fixture
def filled(client: Client) -> Client:
    """A client in a fresh database whose table ``t`` has ROWS, and whose table ``empty`` has none."""
    client.command(create_table("empty"))
    client.command(create_table("t"))
    client.insert("t", ROWS, column_names=list(TYPES))
    return client


@pytest.fixture
def login(server: Endpoint, database: str) -> str:
    """``user:password@host:port/database`` for the URLs of the clients."""
    user, password = quote(server.username, safe=""), quote(server.password, safe="")
    return f"{user}:{password}@{server.host}:{server.port}/{database}"
