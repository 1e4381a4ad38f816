"""Schema drift: compare the live tables and views with a scratch database to which sql/ was applied."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted, server_time
from iot_platform.clickhouse.migrations import applied, migrate
from iot_platform.clickhouse.statements import read_migrations
from iot_platform.settings import Settings

# The name continues with the time. A comparison drops scratch databases that crashes left behind over an hour ago.
SCRATCH_PREFIX = "iot_scratch_"
_OLD_S = 3600

_OBJECTS = """
SELECT name, engine, engine_full, create_table_query FROM system.tables
WHERE database = {database:String} AND NOT startsWith(name, 'staging_') AND NOT startsWith(name, 'lock_')
"""
_COLUMNS = """
SELECT table, name, concat(type, ' ', default_kind, ' ', default_expression) FROM system.columns
WHERE database = {database:String}
"""


@dataclass(frozen=True)
class _Schema:
    """The definitions of a database's objects, and of their columns."""

    objects: Mapping[str, str]
    columns: Mapping[str, Mapping[str, str]]


# The schema that sql/ creates depends only on its files and the server, so a process computes it once for each pair.
_expected: dict[tuple[str, ...], _Schema] = {}


def schema_drift(client: Client, settings: Settings) -> list[tuple[str, str]]:
    """Differences of the client's database from sql/: (table or view, difference).

    Tables that sql/ does not create are ignored. Needs the right to create and drop a database. Views and dictionaries
    are compared by text, tables by columns and by engine, with keys, TTL and settings. Migrations
    that a user added to sql/ are expected too.
    """
    _drop_abandoned(client)
    wanted, live = _expected_schema(client, settings), _read_schema(client, str(client.database))
    problems = []
    for name, definition in wanted.objects.items():
        if name not in live.objects:
            problems.append((name, "is missing"))
            continue
        if definition != live.objects[name]:
            problems.append((name, f"is {live.objects[name]}, in sql/ {definition}"))
        columns, own_columns = wanted.columns.get(name, {}), live.columns.get(name, {})
        for column, text in columns.items():
            own = own_columns.get(column)
            if own is None:
                problems.append((name, f"lacks the column {column}"))
            elif own != text:
                problems.append((name, f"column {column} is {own.strip()}, in sql/ {text.strip()}"))
        problems += [
            (name, f"has the column {column}, which sql/ does not create")
            for column in own_columns.keys() - columns.keys()
        ]
    return sorted(problems)


def _expected_schema(client: Client, settings: Settings) -> _Schema:
    [server] = client.query("SELECT toString(serverUUID()), version()").result_rows
    order = list(applied(client))
    key = (*server, *order, *(migration.checksum for migration in read_migrations(settings.sql_dir)))
    if key not in _expected:
        live = str(client.database)
        with _scratch(client) as scratch:
            client.database = scratch
            try:
                # A user's migration may fit the schema of its time only.
                migrate(client, settings, begin=True, order=order)
            finally:
                client.database = live
            _expected[key] = _read_schema(client, scratch)
    return _expected[key]


def _drop_abandoned(client: Client) -> None:
    now = int(server_time(client).timestamp())
    old = client.query(
        "SELECT name FROM system.databases WHERE toUInt64OrNull(extract(name, {pattern:String})) < {before:UInt64}",
        parameters={"pattern": f"^{SCRATCH_PREFIX}([0-9]+)_[0-9a-f]{{12}}$", "before": now - _OLD_S},
    ).result_rows
    for (name,) in old:
        client.command(f"DROP DATABASE IF EXISTS {quoted(str(name))} SYNC")


@contextmanager
def _scratch(client: Client) -> Iterator[str]:
    now = int(server_time(client).timestamp())
    scratch = f"{SCRATCH_PREFIX}{now}_{secrets.token_hex(6)}"
    client.command(f"CREATE DATABASE {quoted(scratch)}")
    try:
        yield scratch
    finally:
        client.command(f"DROP DATABASE IF EXISTS {quoted(scratch)} SYNC")


def _read_schema(client: Client, database: str) -> _Schema:
    return _Schema(_objects(client, database), _columns(client, database))


def _objects(client: Client, database: str) -> dict[str, str]:
    """The definition of each object without its columns: the engine of a table, the text of a view or dictionary."""
    rows = client.query(_OBJECTS, parameters={"database": database}).result_rows
    return {
        str(name): str(engine_full) or _definition(str(engine), str(text), database)
        for name, engine, engine_full, text in rows
    }


def _definition(engine: str, text: str, database: str) -> str:
    # Columns are compared separately. Comments and the name of the database are left out.
    start = " PRIMARY KEY " if engine == "Dictionary" else " AS "
    body = re.sub(rf"`?{re.escape(database)}`?\.", "", text)
    body = body[body.index(start) :] if start in body else body
    return engine + re.sub(r"\s+COMMENT '.*'$", "", re.sub(r"\s+", " ", body))


def _columns(client: Client, database: str) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for table, name, text in client.query(_COLUMNS, parameters={"database": database}).result_rows:
        found.setdefault(str(table), {})[str(name)] = str(text).replace(f"{database}.", "")
    return found
