"""Apply the migrations in sql/ to a database, in order and each once."""

from __future__ import annotations

from collections.abc import Sequence

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from iot_platform.clickhouse.client import connect, quoted
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.lock import server_lock
from iot_platform.clickhouse.rows import insert_rows
from iot_platform.clickhouse.statements import Migration, read_migrations
from iot_platform.errors import MigrationError, WaitingMigrationError
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

_LOCK, _LOCK_WAIT_S = "migrations", 120
_SIZE_LIMIT = "max_table_size_to_drop"


def migrate(client: Client, settings: Settings, *, begin: bool = False, order: Sequence[str] = ()) -> list[str]:
    """Apply the migrations that the client's current database does not have yet; returns their names, in order.

    Two processes may call it at once: one applies, the other waits. Raises MigrationError when an applied file has
    changed or is missing, or when a statement fails; it names the file and the statement. Earlier migrations stay
    applied. The failed one runs again as a whole, so the statements of a migration must be repeatable.

    Raises WaitingMigrationError at files with a guard that throws (see statements.py); nothing of them is applied then.
    ``begin``: apply their statements all the same, but do not record them; `iot-platform migrate` then does what they
    wait for. ``order``: names of files that come first, in this order.
    """
    turns = {name: turn for turn, name in enumerate(order)}
    migrations = sorted(read_migrations(settings.sql_dir), key=lambda found: turns.get(found.name, len(turns)))
    client.command(RECORD_TABLE)
    if not _pending(client, migrations):
        return []
    with server_lock(client, _LOCK, wait_s=_LOCK_WAIT_S):
        groups = _groups(_pending(client, migrations))
        for group in groups:
            if not begin:
                _check_guards(client, group)
            for migration in group:
                _run(client, migration)
            _check_guards(client, group)
            rows = [[migration.name, migration.checksum] for migration in group]
            insert_rows(client, "schema_migrations", rows, ["name", "checksum"])
    return [migration.name for group in groups for migration in group]


def wait_for_migrations(client: Client) -> None:
    """Wait until no process is applying migrations to the client's database. Raises PlatformError after two minutes."""
    with server_lock(client, _LOCK, wait_s=_LOCK_WAIT_S):
        pass


def applied(client: Client) -> dict[str, str]:
    """Checksums of the applied migrations by name, in the order in which they were applied."""
    rows = client.query("SELECT name, checksum FROM schema_migrations FINAL ORDER BY applied_at, name").result_rows
    return {str(name): str(checksum) for name, checksum in rows}


def pending(client: Client, settings: Settings) -> list[Migration]:
    """The migrations that the client's database does not have yet, in order; nothing is changed."""
    return _pending(client, read_migrations(settings.sql_dir))


def _pending(client: Client, migrations: list[Migration]) -> list[Migration]:
    known = applied(client) if int(str(client.command("EXISTS TABLE schema_migrations"))) else {}
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


def _groups(pending: Sequence[Migration]) -> list[list[Migration]]:
    """The files in the order in which they are applied; those of a group are recorded at once."""
    names = {migration.name for migration in pending}
    members = [migration for migration in pending if migration.together_with in names]
    groups: list[list[Migration]] = [[]]
    for migration in pending:
        if migration not in members:
            groups[-1] += [migration, *(member for member in members if member.together_with == migration.name)]
            if not migration.is_recorded_with_next:
                groups.append([])
    return [group for group in groups if group]


def _check_guards(client: Client, group: Sequence[Migration]) -> None:
    for migration in group:
        for guard in migration.guards():
            if client.query(f"SELECT count() FROM ({guard.query})").result_rows[0][0]:
                raise WaitingMigrationError(f"Database {client.database!r}: {guard.message}")


def _run(client: Client, migration: Migration) -> None:
    # Servers before 24.1 have this limit in their configuration only; their error says what to do.
    is_unlimited = migration.is_of_any_size and _known_settings(client, [_SIZE_LIMIT])
    settings = {_SIZE_LIMIT: 0} if is_unlimited else {}
    for number, statement in enumerate(migration.statements(), start=1):
        try:
            client.command(statement, settings=dict(settings))
        except Error as error:
            raise MigrationError(f"{migration.name}, statement {number}: {error}") from error


def create_database(endpoint: Endpoint, settings: Settings) -> None:
    """Create the platform's database on the server if it does not exist."""
    client = connect(endpoint, settings, database="default")
    try:
        client.command(f"CREATE DATABASE IF NOT EXISTS {quoted(settings.clickhouse_database)}")
    finally:
        client.close()
