"""The databases that tests get are what the migrations make."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.migrations import applied, migrate
from iot_platform.settings import Settings
from iot_platform_tests.databases import client_of, definitions, fresh_database


def test_a_copy_is_what_the_migrations_make(server: Endpoint, schema: Client) -> None:
    with fresh_database(server) as name, client_of(server, name) as migrated:
        migrate(migrated, Settings())
        expected = [text.replace(f"{name}.", f"{schema.database}.") for text in definitions(migrated)]
        assert definitions(schema) == expected and len(expected) > 30
        assert applied(schema) == applied(migrated)


def test_a_copy_starts_empty(schema: Client) -> None:
    tables = schema.query("SELECT name, total_rows FROM system.tables WHERE database = currentDatabase()").result_rows
    assert {name for name, rows in tables if rows} == {"schema_migrations"}
