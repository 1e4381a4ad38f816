"""Databases for tests: fresh ones, and copies of a migrated one (a fifth of the CPU time of the migrations)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.migrations import migrate
from iot_platform.settings import Settings

_OBJECTS = "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() ORDER BY name"
_RUNNING = "SELECT query FROM system.processes WHERE current_database = {database:String}"


def client_of(server: Endpoint, database: str = "default") -> Client:
    """A client in ``database``."""
    return clickhouse_connect.get_client(
        host=server.host,
        port=server.port,
        username=server.username,
        password=server.password,
        database=database,
        autogenerate_session_id=False,
    )


@contextmanager
def fresh_database(server: Endpoint) -> Iterator[str]:
    """The name of an empty database. At the end it is dropped, and no other database and no query may be left."""
    name = f"test_{secrets.token_hex(6)}"
    with client_of(server) as admin:
        before = _databases(admin)
        admin.command(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            running = admin.query(_RUNNING, parameters={"database": name}).result_rows
            admin.command(f"DROP DATABASE IF EXISTS {name} SYNC")
        assert not running, f"The test left running queries: {running}"
        left = _databases(admin) - before
        for database in left:
            admin.command(f"DROP DATABASE `{database}` SYNC")
        assert not left, f"The test left databases: {', '.join(sorted(left))}"


@dataclass(frozen=True)
class Blueprint:
    """A migrated database: the statements that make a copy, each after those that it needs."""

    database: str
    statements: list[str]

    def copy_into(self, client: Client) -> None:
        """Create in the client's empty database everything that the migrations create."""
        for statement in self.statements:
            client.command(statement.replace(f"{self.database}.", f"{client.database}."))
        client.command(f"INSERT INTO schema_migrations SELECT * FROM {self.database}.schema_migrations")


@contextmanager
def blueprint(server: Endpoint) -> Iterator[Blueprint]:
    """A migrated database that copies are made of."""
    with fresh_database(server) as name, client_of(server, name) as client:
        migrate(client, Settings())
        yield Blueprint(name, _in_order(server, name, definitions(client)))


def definitions(client: Client) -> list[str]:
    """The definitions of all tables, views and dictionaries in the client's database, by name."""
    return [str(text) for (text,) in client.query(_OBJECTS).result_rows]


def _in_order(server: Endpoint, database: str, statements: list[str]) -> list[str]:
    """The order that works: a statement that fails is tried again after the others."""
    done: list[str] = []
    with fresh_database(server) as trial, client_of(server, trial) as client:
        while missing := [statement for statement in statements if statement not in done]:
            errors: list[DatabaseError] = []
            for statement in missing:
                try:
                    client.command(statement.replace(f"{database}.", f"{trial}."))
                    done.append(statement)
                except DatabaseError as error:
                    errors.append(error)
            if len(errors) == len(missing):
                raise errors[0]
    return done


def _databases(admin: Client) -> set[str]:
    return {str(name) for (name,) in admin.query("SELECT name FROM system.databases").result_rows}
