"""A proof drops the tables of killed processes from ClickHouse, and keeps those of running ones."""

from __future__ import annotations

import json
import subprocess
import sys

import psutil
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import escaped, quoted
from iot_platform.clickhouse.lock import server_lock, this_process
from iot_platform.clickhouse.migrations import migrate
from iot_platform.layers.proof import prove_all
from iot_platform.settings import Settings


def dead_process() -> str:
    """The comment of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = {**json.loads(this_process()), "pid": process.pid}
    identity["process_started"] = psutil.Process(process.pid).create_time()
    process.kill()
    process.wait()
    return json.dumps(identity, sort_keys=True)


def own_tables(client: Client) -> set[str]:
    """The locks and staging tables that exist."""
    rows = client.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND match(name, '^(lock|staging)_')"
    ).result_rows
    return {str(row[0]) for row in rows}


def test_a_proof_drops_the_tables_of_killed_processes_and_nothing_else(client: Client) -> None:
    migrate(client, Settings())
    dead = escaped(dead_process())
    left = ("lock_rebuild", "lock_source_1_stale_2", "staging_l2_power_cleaned_3")
    for name in left:
        client.command(f"CREATE TABLE {quoted(name)} (nothing UInt8) ENGINE = Null COMMENT '{dead}'")
    with server_lock(client, "source_4"):
        assert own_tables(client) == {*left, "lock_source_4"}
        assert list(prove_all(client)) == []
        assert own_tables(client) == {"lock_source_4"}
