"""Statements and settings that reach outside the database are refused."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from iot_platform_tests.clickhouse_embedded.guard.statements import ALLOWED, OTHER_CODES, REFUSED
from iot_platform_tests.clickhouse_embedded.http_queries import Server, connect

TABLE = "CREATE TABLE t (url String, file String) ENGINE = MergeTree ORDER BY url"


@pytest.fixture(scope="module")
def shared_table(server: Server) -> Iterator[Client]:
    """A client of one database with the table ``t`` for all statements that are refused."""
    database = f"guard_{secrets.token_hex(6)}"
    with connect(server) as admin:
        admin.command(f"CREATE DATABASE {database}")
        with connect(server, database) as client:
            client.command(TABLE)
            yield client
        admin.command(f"DROP DATABASE {database} SYNC")


@pytest.fixture
def table(client: Client) -> Client:
    """A client of a fresh database with the table ``t``."""
    client.command(TABLE)
    return client


@pytest.mark.parametrize("sql", REFUSED)
def test_reaching_outside_is_refused(shared_table: Client, sql: str) -> None:
    with pytest.raises(DatabaseError) as error:
        shared_table.raw_query(sql)
    assert error.value.code == OTHER_CODES.get(sql, 497), str(error.value)
    assert "root:" not in str(error.value)


def test_what_stays_inside_is_allowed(table: Client, database: str) -> None:
    for sql in ALLOWED:
        table.raw_query(sql.replace("{database}", database))


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("format_schema", "/etc/passwd:Message", 497),
        ("format_template_row", "/etc/passwd", 497),
        ("format_avro_schema_registry_url", "http://127.0.0.1:1", 497),
        ("allow_experimental_eval_table_function", "1", 452),
        ("additional_result_filter", "length(file('/etc/passwd')) > 0", 497),
        ("send_logs_source_regexp", "x", 497),
        ("readonly", "\u00b2", 36),
        ("query_id", "a\nb", 36),
        ("additional_result_filter", r"length(`fi\Nle`('/etc/passwd')) > 0", 497),
        ("additional_table_filters", r"{'system.one': 'length(\x66ile(\'/etc/passwd\')) > 0'}", 497),
        ("additional_table_filters", "{'system.one': 'length(file('/etc/passwd')) > 0'}", 62),
        ("max_threads = 1, dialect", "x", 36),
        ("filter", "length(file('/etc/passwd')) > 0", 497),
        ("output_format_schema", "/tmp/x", 497),
        ("input_format_record_errors_file_path", "/tmp/x", 497),
        ("url_base", "http://127.0.0.1:1", 497),
        ("additional_table_filters", r"map('system.one', 'length(file(\'/etc/passwd\')) > 0')", 497),
    ],
)
def test_unsafe_settings_in_the_url_are_refused(server: Server, name: str, value: str, code: int) -> None:
    headers = {"X-ClickHouse-Key": server.password}
    answer = httpx.post(server.url, content="SELECT 1", params={name: value}, headers=headers)
    assert answer.headers["X-ClickHouse-Exception-Code"] == str(code)


def test_another_dialect_cannot_be_chosen(client: Client) -> None:
    with pytest.raises(DatabaseError, match="The setting dialect is refused"):
        client.command("SET dialect = 'prql'")


def test_the_engine_refuses_by_itself(tmp_path: Path) -> None:
    """Without the guard: a trick that deceives it still meets the engine's grants."""
    script = """
import json, sys
from pathlib import Path
from iot_platform.clickhouse_embedded.config import write_config
from iot_platform.clickhouse_embedded.engine import Engine
from iot_platform.clickhouse_embedded.errors import ClickHouseError
home = Path(sys.argv[1])
engine = Engine(home / "data", write_config(home / "config", 10**9))
handle = engine.open()
codes = {}
for sql in json.load(sys.stdin):
    try:
        handle.query(sql)
        codes[sql] = 0
    except ClickHouseError as error:
        codes[sql] = error.code
try:
    handle.query_one("SELECT 1; DROP DATABASE default", "CSV", {})
except ClickHouseError as error:
    assert error.code == 62, error
else:
    raise AssertionError("two statements were run")
print(json.dumps(codes))
handle.close()
engine.close()
"""
    sources = ("file(", "url(", "s3(", "remote", "mysql(", "postgresql(", "sqlite(", "filesystem(", "deltaLakeLocal(")
    wanted = [
        sql
        for sql in REFUSED
        if any(f"FROM {name}" in sql or f" AS {name}" in sql or f"FUNCTION {name}" in sql for name in sources)
        or sql.startswith(
            ("CREATE USER", "CREATE NAMED", "SYSTEM SHUTDOWN", "SYSTEM KILL", "BACKUP", "CREATE DATABASE x")
        )
        or any(f"ENGINE = {name}" in sql for name in ("File", "URL", "S3", "Kafka", "Distributed"))
    ]
    assert len(wanted) > 20
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stdout.splitlines()[-1])
    assert {sql: code for sql, code in codes.items() if code != 497} == {}


def test_errors_contain_no_internal_names(server: Server, table: Client) -> None:
    headers = {"X-ClickHouse-Key": server.password}
    for sql in (
        f"INSERT INTO {table.database}.t FORMAT JSONEachRow\n{{broken",
        f"INSERT INTO {table.database}.t FORMAT Native\n\x05\x05\x05",
        "SELECT nothing FROM system.processes",
        "SELECT nothing, * FROM system.query_log AS q",
        "KILL QUERY WHERE query_id = 1 AND nothing",
        "SELECT throwIf(number = 3) FROM numbers(5) FORMAT Parquet",
        "SELECT * FROM system.processes WHERE query_id = toDate('x')",
        "SELEC 1",
        "SELECT 1 FROM (SELECT",
        "SELECT * FROM values('a Nonsense', 1)",
    ):
        answer = httpx.post(server.url, content=sql, headers=headers)
        assert answer.status_code >= 400
        for own in ("/dev/fd", "_by_client_id", "send_logs", "formatQuery", "/clickhouse/", "site-packages"):
            assert own not in answer.text, answer.text


def test_a_syntax_error_is_the_clients_own(server: Server) -> None:
    answer = httpx.post(server.url, content="SELECT 1 +", headers={"X-ClickHouse-Key": server.password})
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (400, "62")
    assert "failed at position 11" in answer.text


def test_one_request_does_not_stop_the_others(server: Server) -> None:
    """Unclosed heredoc tags (129 KiB) once blocked the event loop for a minute."""
    headers = {"X-ClickHouse-Key": server.password}
    tags = " ".join(f"$t{number}$" for number in range(100_000))
    with ThreadPoolExecutor(4) as pool:
        slow = [
            pool.submit(httpx.post, server.url, content=f"{begin} {tags}", headers=headers, timeout=120)
            for begin in ("SELECT", "INSERT INTO t", "INSERT INTO t (a) FORMAT", "WITH 1 AS x")
        ]
        while not all(future.done() for future in slow):
            assert httpx.get(f"{server.url}/ping", timeout=20).text == "Ok.\n"
            time.sleep(0.1)
    assert {future.result().status_code for future in slow} == {400}


def test_names_of_functions_cannot_be_parameters(server: Server, table: Client) -> None:
    headers = {"X-ClickHouse-Key": server.password}
    params = {"database": str(table.database), "param_g": "file", "session_id": f"names {table.database}"}
    httpx.post(server.url, content="SET param_g = 'file'", params=params, headers=headers).raise_for_status()
    del params["param_g"]
    for sql in ("SELECT arrayMap({g:Identifier}, ['/etc/hosts'])[1]",
                "INSERT INTO t VALUES (arrayMap({g:Identifier}, ['/etc/hosts'])[1], '')"):  # fmt: skip
        answer = httpx.post(server.url, content=sql, params=params, headers=headers)
        assert answer.status_code >= 400
        assert "localhost" not in answer.text
    assert table.command("SELECT count() FROM t") == 0


def test_an_insert_with_text_after_its_end_stores_nothing(table: Client) -> None:
    for values in ("('a', 'b');('c', 'd')", "('a', 'b');;('c', 'd')", "('a;', 'b'); SELECT 1"):
        with pytest.raises(DatabaseError, match="Syntax error"):
            table.raw_query(f"INSERT INTO t VALUES {values}")
    assert table.command("SELECT count() FROM t") == 0
    table.raw_query("INSERT INTO t VALUES ('a;', 'b'); -- the end")
    assert table.command("SELECT count() FROM t") == 1


def test_a_statement_whose_rendering_is_longer_than_the_engines_limit(client: Client) -> None:
    numbers = ",".join(map(str, range(1000, 41_000)))
    assert client.command(f"SELECT sum(x IN ({numbers})) FROM (SELECT 1000 AS x)") == 1


@pytest.mark.slow
def test_time_of_the_check_grows_with_the_statement(server: Server) -> None:
    headers = {"X-ClickHouse-Key": server.password}
    many = ", ".join(["arrayMin(a)"] * 20_000)
    answer = httpx.post(server.url, content=f"SELECT {many} FROM (SELECT [1] AS a)", headers=headers, timeout=60)
    assert answer.status_code in (200, 400, 500)
    names = ", ".join(["{a:Identifier}"] * 100_000)
    answer = httpx.post(server.url, params={"param_a": "x"}, content=f"SELECT {names}", headers=headers, timeout=60)
    assert answer.status_code >= 400
