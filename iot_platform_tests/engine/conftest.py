"""Fixtures of tests on the real engine."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.migrations import migrate
from iot_platform.settings import Settings


@pytest.fixture
def schema(client: Client) -> Client:
    """A client whose fresh database has the whole schema."""
    migrate(client, Settings())
    return client
