"""Apply the migrations in sql/ to a database, in order and each once."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from iot_platform.clickhouse.client import connect, quoted
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.lock import server_lock
from iot_platform.clickhouse.rows import insert_rows
from iot_platform.clickhouse.statements import Migration, read_migrations
from iot_platform.errors import MigrationError, UnfilledTablesError
from iot_platform.settings import Settings

RECORD_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    name       String COMMENT 'File in sql/',
    checksum   String COMMENT 'SHA-256 of its text',
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree ORDER BY name
COMMENT 'Migrations that were applied to this database'
"""

# A migration that has to wait for data begins with a throwIf.
THROW_IF_CODE = 395

_LOCK, _LOCK_WAIT_S = "migrations", 120


def migrate(client: Client, settings: Settings) -> list[str]:
    """Apply the migrations that the client's current database does not have yet; returns their names, in order.

    Two processes may call it at once: one applies, the other waits. Raises MigrationError when an applied file has
    changed or is missing, or when a statement fails; it names the file and the statement. Earlier migrations stay
    applied. The failed one runs again as a whole, so the statements of a migration must be repeatable.
    """
    migrations = read_migrations(settings.sql_dir)
    client.command(RECORD_TABLE)
    if not _pending(client, migrations):
        return []
    with server_lock(client, _LOCK, wait_s=_LOCK_WAIT_S):
        pending = _pending(client, migrations)
        for migration in pending:
            _apply(client, migration)
    return [migration.name for migration in pending]


def wait_for_migrations(client: Client) -> None:
    """Wait until no process is applying migrations to the client's database. Raises PlatformError after two minutes."""
    with server_lock(client, _LOCK, wait_s=_LOCK_WAIT_S):
        pass


def applied(client: Client) -> dict[str, str]:
    """Checksums of the applied migrations by name."""
    rows = client.query("SELECT name, checksum FROM schema_migrations FINAL ORDER BY name").result_rows
    return {str(name): str(checksum) for name, checksum in rows}


def _pending(client: Client, migrations: list[Migration]) -> list[Migration]:
    known = applied(client)
    files = {migration.name for migration in migrations}
    if gone := sorted(known.keys() - files):
        raise MigrationError(
            f"{', '.join(gone)}: applied to database {client.database!r}, but not in sql/. "
            "This is an older or another version of the platform; install the one that has these files."
        )
    for migration in migrations:
        if known.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"{migration.name} was edited after it had been applied to database {client.database!r}. "
                "Restore the file and put the change into a new migration with the next number."
            )
    missing = [migration for migration in migrations if migration.name not in known]
    needed = [migration.needs for migration in missing if migration.needs]
    found = _known_settings(client, needed) if needed else set()
    return [migration for migration in missing if migration.needs is None or migration.needs in found]


def _known_settings(client: Client, names: list[str]) -> set[str]:
    """Those of the settings, of queries or of tables, that the server has."""
    rows = client.query(
        "SELECT name FROM system.settings WHERE name IN {names:Array(String)} "
        "UNION ALL SELECT name FROM system.merge_tree_settings WHERE name IN {names:Array(String)}",
        parameters={"names": names},
    ).result_rows
    return {str(row[0]) for row in rows}


def _apply(client: Client, migration: Migration) -> None:
    for number, statement in enumerate(migration.statements(), start=1):
        try:
            client.command(statement)
        except Error as error:
            kind = UnfilledTablesError if error.code == THROW_IF_CODE else MigrationError
            raise kind(f"{migration.name}, statement {number}: {error}") from error
    insert_rows(client, "schema_migrations", [[migration.name, migration.checksum]], ["name", "checksum"])


def create_database(endpoint: Endpoint, settings: Settings) -> None:
    """Create the platform's database on the server if it does not exist."""
    client = connect(endpoint, settings, database="default")
    try:
        client.command(f"CREATE DATABASE IF NOT EXISTS {quoted(settings.clickhouse_database)}")
    finally:
        client.close()
