"""Everything that the engine offers is on a list of allowed.py, also after an update of the engine."""

from __future__ import annotations

from pathlib import Path

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse_embedded import allowed

REVIEWED = Path(__file__).parent / "guard" / "functions.txt"


def column(client: Client, sql: str) -> list[str]:
    return [str(row[0]) for row in client.query(sql).result_rows]


def test_every_setting_of_free_text_has_been_reviewed(client: Client) -> None:
    both = "(SELECT name, type FROM system.settings UNION ALL SELECT name, type FROM system.merge_tree_settings)"
    rows = client.query(f"SELECT DISTINCT name, type FROM {both}").result_rows
    reviewed = allowed.TEXT_SETTINGS | allowed.REFUSED_SETTINGS | {allowed.FILTERS}
    unseen = {name: kind for name, kind in rows if kind not in allowed.PLAIN_TYPES and name not in reviewed}
    assert unseen == {}, "review these, in iot_platform/clickhouse_embedded/allowed.py"


def test_no_setting_is_listed_twice_or_unknown(client: Client) -> None:
    names = set(column(client, "SELECT name FROM system.settings"))
    names |= set(column(client, "SELECT name FROM system.merge_tree_settings"))
    assert not allowed.TEXT_SETTINGS & allowed.REFUSED_SETTINGS
    assert (allowed.TEXT_SETTINGS | allowed.REFUSED_SETTINGS | {allowed.FILTERS}) - names == set()


def test_plain_types_hold_no_free_text(client: Client) -> None:
    kinds = column(client, "SELECT DISTINCT type FROM system.settings")
    kinds += column(client, "SELECT DISTINCT type FROM system.merge_tree_settings")
    assert set(kinds) - allowed.PLAIN_TYPES == {"String", "Map", "URI", "Dialect"}
    assert allowed.PLAIN_TYPES - set(kinds) == set()


def test_every_function_has_been_reviewed(client: Client) -> None:
    """Functions are refused by name (allowed.UNSAFE_FUNCTIONS), so each must have been reviewed."""
    found = column(client, "SELECT DISTINCT name FROM system.functions WHERE origin = 'System'")
    unseen = sorted(set(found) - set(REVIEWED.read_text().split()))
    assert unseen == [], f"review these, then add them to {REVIEWED.name}"


def test_every_table_function_and_engine_is_either_allowed_or_refused(client: Client) -> None:
    functions = {name.lower() for name in column(client, "SELECT name FROM system.table_functions")}
    assert allowed.TABLE_FUNCTIONS - functions == set(), "gone"
    reaching_out = {"file", "url", "s3", "remote", "cluster", "mysql", "executable", "python", "eval", "filesystem"}
    assert reaching_out & functions
    assert not reaching_out & allowed.TABLE_FUNCTIONS
    engines = {name.lower() for name in column(client, "SELECT name FROM system.table_engines")}
    assert not {"file", "url", "kafka", "executable", "distributed", "s3"} & allowed.ENGINES
    assert {"mergetree", "memory", "buffer"} <= engines & allowed.ENGINES
