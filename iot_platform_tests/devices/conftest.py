"""A database with the readings whose metadata the tests change."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform_tests.devices.metadata import insert_readings


@pytest.fixture
def filled(schema: Client) -> Client:
    insert_readings(schema)
    return schema
