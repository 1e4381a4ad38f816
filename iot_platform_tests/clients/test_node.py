"""@clickhouse/client for node: node/check.mjs runs the queries and prints the results."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform_tests.clients.installed import HOW, missing
from iot_platform_tests.clients.rows import HARD_TEXT, ROWS

HOME = Path(__file__).with_name("node")


@pytest.fixture
def node() -> str:
    """The path of node; without it the test is skipped (CI does not install it)."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("No node here.")
    if not (HOME / "node_modules" / "@clickhouse" / "client").is_dir():
        missing(f"@clickhouse/client is missing: {HOW}")
    return path


def test_the_client_of_node(node: str, server: Endpoint, database: str, filled: Client) -> None:
    login = {"url": server.url, "username": server.username, "password": server.password, "database": database}
    done = subprocess.run(
        [node, "check.mjs"],
        cwd=HOME,
        input=json.dumps(login),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    got: dict[str, Any] = {said["check"]: said["got"] for said in map(json.loads, done.stdout.splitlines())}
    read = [(row["id"], row["small"], row["name"], row["note"], row["day"], row["flag"]) for row in got.pop("read")]
    assert read == [(row.id, row.small, row.name, row.note, row.day.isoformat(), row.flag) for row in ROWS]
    assert got == {
        "ping": True,
        "inserted": [[1, HARD_TEXT, None], [2, "ü", ""], [3, "streamed", None], [4, "𝄞", "x"]],
        "parameters": [{"id": 1}],
        "stream": sum(range(200_000)),
        "compressed": [{"n": 10_000, "bytes": 500_000}],
        "session": [{"a": 7}],
        "query id and settings": [True, [{"size": 1234}]],
        "exec": "1\n",
        "unknown table": {"clickhouse": True, "code": "60", "type": "UNKNOWN_TABLE"},
        "violated constraint": {"clickhouse": True, "code": "469", "type": "VIOLATED_CONSTRAINT"},
        "error in the stream": {"clickhouse": True, "code": "395", "type": "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"},
        "wrong password": {"clickhouse": True, "code": "516", "type": "AUTHENTICATION_FAILED"},
    }
