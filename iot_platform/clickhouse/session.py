"""A session: a client of the running server whose database has every migration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import connect
from iot_platform.clickhouse.embedded_server import running_server
from iot_platform.clickhouse.migrations import create_database, migrate
from iot_platform.errors import MissingDatabaseError
from iot_platform.settings import Settings


@contextmanager
def migrated_session(settings: Settings) -> Iterator[Client]:
    """A client of the running server, with the database created and every migration applied first."""
    with running_server(settings) as endpoint:
        try:
            client = connect(endpoint, settings)
        except MissingDatabaseError:
            create_database(endpoint, settings)
            client = connect(endpoint, settings)
        try:
            migrate(client, settings)
            yield client
        finally:
            client.close()
