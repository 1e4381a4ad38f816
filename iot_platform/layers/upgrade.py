"""Bring the schema of a platform up to date, also where a migration waits until the days from before are filled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse import migrations
from iot_platform.clickhouse.statements import Migration
from iot_platform.errors import MigrationError, WaitingMigrationError
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.filling import NEW_TABLES, Plan, fill, plan
from iot_platform.settings import Settings

# While days are filled, others may begin (a load of old files begins many) or change their metadata. Each round is
# shorter than the one before.
ROUNDS = 50


def upgrade(
    client: Client, settings: Settings, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[str]:
    """Apply all migrations, and fill what they wait for; returns the names of those that this or another process has
    applied meanwhile. ``progress``: see ``fill``.

    It may be killed at any time; the next call continues. Raises MigrationError when something has to be done first.
    """
    pending = migrations.pending(client, settings)
    _refuse(plan(client, pending), pending, is_begun=False)
    for rounds_left in reversed(range(ROUNDS)):
        try:
            migrations.migrate(client, settings, begin=True)
            break
        except WaitingMigrationError:
            _refuse(plan(client, pending), pending, is_begun=True)
            if not rounds_left:
                raise
            fill(client, pending, progress)
    applied = migrations.applied(client)
    if NEW_TABLES in applied:
        # An older version may have stored metadata until the end. Also when an earlier call was killed before this.
        reload_dictionaries(client)
    return [migration.name for migration in pending if migration.name in applied]


def _refuse(found: Plan, pending: Sequence[Migration], *, is_begun: bool) -> None:
    """Stop before anything is begun, or before the old tables are replaced."""
    is_prepared = any(migration.together_with == NEW_TABLES for migration in pending)
    if found.own_objects and (is_begun or not is_prepared):
        raise MigrationError(
            "This version replaces tables to which you have added something that its new tables lack:\n"
            + "".join(f"- {name}\n" for name in found.own_objects)
            + "Nothing was replaced, and the previous version keeps running. Write a migration that adds it to the new "
            f"tables and begins with the line `-- together with {NEW_TABLES}` (docs/schema-evolution.md says how), or "
            "drop it. Then run `iot-platform migrate` again."
        )
    if found.lacks_disk:
        raise MigrationError(
            f"The new tables need about {found.bytes / 1e9:,.1f} GB of disk until the old ones are dropped, and "
            f"{found.free_bytes / 1e9:,.1f} GB are free. Nothing was replaced, and the previous version keeps running. "
            "Free some space, then run `iot-platform migrate` again."
        )
