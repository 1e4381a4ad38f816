"""Connections to ClickHouse with pinned settings, and quoting of names."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping

import clickhouse_connect
from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.errors import MissingDatabaseError, ServerError
from iot_platform.settings import Settings

# Their defaults changed between ClickHouse releases; exactly-once ingestion depends on them.
PINNED_SETTINGS: Mapping[str, int] = {
    "async_insert": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "materialized_views_ignore_errors": 0,
    # A block of old readings may contain years of days. L1's partition key limits the effect of wrong times.
    "max_partitions_per_insert_block": 0,
}

# Servers that have the codec demand this setting where a table with it is copied, e.g. for staging.
ALP = "enable_alp_codec"

UNKNOWN_TABLE = 60
UNKNOWN_DATABASE = 81

# Another attempt may succeed after these: the server is busy, starting or short of memory, or the network failed.
TRANSIENT_CODES = frozenset({159, 164, 202, 203, 209, 210, 241, 242, 252, 279, 319, 373, 425, 999})


def quoted(*names: str) -> str:
    """A (qualified) identifier, quoted: ``quoted("iot", "t")`` -> ```iot`.`t```."""
    return ".".join(quote_identifier(name) for name in names)


def escaped(text: str) -> str:
    """A text as the content of an SQL string, for DDL and settings, which take no bound values; not for user input."""
    return text.replace("\\", "\\\\").replace("'", "\\'")


def server_time(client: Client) -> dt.datetime:
    """The time of the server's clock, UTC."""
    now: dt.datetime = client.query("SELECT now64(6, 'UTC')").result_rows[0][0]
    return now.replace(tzinfo=dt.UTC)


def connect(
    endpoint: Endpoint, settings: Settings, *, database: str | None = None, comment: Mapping[str, str] | None = None
) -> Client:
    """A client of one ClickHouse server; close it after use and do not share it between threads.

    ``comment`` goes into each query's log_comment, so that a slow query can be traced to its origin.
    Raises ServerError when the server cannot be reached or refuses the login.
    """
    pinned: dict[str, object] = dict(PINNED_SETTINGS)
    if comment:
        pinned["log_comment"] = json.dumps(dict(comment), sort_keys=True)
    try:
        client = clickhouse_connect.get_client(
            host=endpoint.host,
            port=endpoint.port,
            username=endpoint.username,
            password=endpoint.password,
            interface="https" if endpoint.secure else "http",
            database=database or settings.clickhouse_database,
            settings=pinned,
            connect_timeout=settings.connect_timeout_s,
            send_receive_timeout=settings.query_timeout_s,
            autogenerate_session_id=False,
            client_name="iot_platform",
        )
    except Error as error:
        if error.code == UNKNOWN_DATABASE:
            raise MissingDatabaseError(
                f"Database {settings.clickhouse_database!r} does not exist on {endpoint.host}:{endpoint.port}. "
                "Run `iot-platform migrate` to create it."
            ) from error
        raise ServerError(f"ClickHouse at {endpoint.host}:{endpoint.port} refused the connection: {error}") from error
    if ALP in client.server_settings:
        client.set_client_setting(ALP, 1)
    return client
