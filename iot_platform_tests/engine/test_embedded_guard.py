"""What clients may not do: both fences, the reading of tokens and the engine's own grants."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from iot_platform.clickhouse.server import Endpoint

REFUSED = [
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT file('/etc/passwd')",
    "SELECT File('/etc/passwd')",
    "SELECT `file`('/etc/passwd')",
    "SELECT file /* c */ ('/etc/passwd')",
    "SELECT file -- c\n('/etc/passwd')",
    "SELECT /* a /* nested */ b */ file('/etc/passwd')",
    "SELECT 'a''' || file('/etc/passwd')",
    "SELECT '\\'' || file('/etc/passwd') || '\\''",
    "SELECT $$x$$ || file('/etc/passwd')",
    "WITH file('/etc/passwd') AS x SELECT x",
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a Int8')",
    "SELECT * FROM s3('http://s3.example.com/bucket/k', 'CSV', 'a Int8')",
    "SELECT * FROM remote('127.0.0.2', system.one)",
    "SELECT * FROM remoteSecure('127.0.0.2', system.one)",
    "SELECT * FROM cluster('x', system.one)",
    "SELECT * FROM mysql('h:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM postgresql('h:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM sqlite('/tmp/x', 't')",
    "SELECT * FROM executable('x', 'CSV', 'a Int8')",
    "SELECT * FROM python(engine)",
    "SELECT * FROM Python(engine)",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT * FROM filesystem('/etc')",
    "SELECT * FROM deltaLakeLocal('/etc')",
    "DESCRIBE TABLE file('/etc/passwd')",
    "DESCRIBE file('/etc/passwd')",
    "EXPLAIN SELECT * FROM file('/etc/passwd')",
    "INSERT INTO FUNCTION file('/tmp/x', 'CSV', 'a Int8') VALUES (1)",
    "INSERT INTO TABLE FUNCTION file('/tmp/x', 'CSV', 'a Int8') SELECT 1",
    "INSERT INTO t VALUES (length(file('/etc/passwd')))",
    "INSERT INTO t FROM INFILE '/etc/passwd' FORMAT LineAsString",
    "SELECT 1 INTO OUTFILE '/tmp/x'",
    "SELECT 1 INTO/**/OUTFILE '/tmp/x' TRUNCATE FORMAT CSV",
    "CREATE TABLE x AS file('/etc/passwd')",
    "CREATE TABLE x (a Int8) ENGINE = File(CSV)",
    "CREATE TABLE x (a Int8) ENGINE File(CSV)",
    "CREATE TABLE x ENGINE = `URL`('http://127.0.0.1:1/') AS SELECT 1",
    "CREATE TABLE x (a Int8) ENGINE = Executable('x', 'CSV')",
    "CREATE TABLE x (a Int8) ENGINE = Kafka('h:1', 't', 'g', 'CSV')",
    "CREATE TABLE x (a Int8) ENGINE = EmbeddedRocksDB PRIMARY KEY a",
    "CREATE TABLE x (a Int8) ENGINE = Distributed('c', 'd', 't')",
    "CREATE TABLE x (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = 'local', path = '/tmp/x/')",
    "CREATE TABLE x (a String DEFAULT file('/etc/passwd')) ENGINE = Memory",
    "CREATE MATERIALIZED VIEW x ENGINE = S3('http://h/b/k') AS SELECT 1 AS a",
    "CREATE VIEW x AS SELECT file('/etc/passwd')",
    "CREATE FUNCTION f AS x -> file(x)",
    "CREATE DATABASE x ENGINE = SQLite('/tmp/x')",
    "CREATE DATABASE x ENGINE = Filesystem('/etc')",
    "CREATE DATABASE x ENGINE = MySQL('h:1', 'd', 'u', 'p')",
    "CREATE DATABASE x ENGINE = Backup('x', Disk('a', 'b'))",
    "CREATE DICTIONARY x (a UInt64) PRIMARY KEY a SOURCE(FILE(path '/etc/passwd' format 'CSV')) LAYOUT(FLAT())",
    "CREATE DICTIONARY x (a UInt64) PRIMARY KEY a SOURCE(HTTP(url 'http://h')) LAYOUT(FLAT())",
    "CREATE DICTIONARY x (a UInt64) PRIMARY KEY a SOURCE(EXECUTABLE(command 'id' format 'CSV')) LAYOUT(FLAT())",
    "CREATE DICTIONARY x (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(HOST 'h' QUERY 'SELECT 1')) LAYOUT(FLAT())",
    "CREATE DICTIONARY x (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(NAME c)) LAYOUT(FLAT())",
    "CREATE DICTIONARY x (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(QUERY 'SELECT length(file(''/etc/passwd''))')) "
    "LAYOUT(FLAT())",
    "DROP TABLE IF EXISTS x PARALLEL WITH CREATE TABLE x (a Int8) ENGINE = File(CSV)",
    "ATTACH TABLE x FROM '/etc' (a Int8) ENGINE = MergeTree ORDER BY a",
    "BACKUP DATABASE default TO Disk('a', 'b')",
    "RESTORE DATABASE default FROM File('/tmp/x')",
    "SYSTEM SHUTDOWN",
    "SYSTEM KILL",
    "system  /**/ shutdown",
    "SYSTEM STOP LISTEN HTTP",
    "SYSTEM RELOAD CONFIG",
    "CREATE NAMED COLLECTION c AS a = 1",
    "CREATE USER someone",
    "DROP DATABASE default",
    "TRUNCATE DATABASE default",
    "DETACH DATABASE `default`",
    "DROP DATABASE {p:Identifier}",
    "RENAME DATABASE {p:Identifier} TO x",
    "DROP DATABASE system",
    "TRUNCATE ALL TABLES FROM system",
    "DROP TABLE system.query_log",
    "TRUNCATE TABLE system.query_log",
    "DETACH TABLE system.query_log",
    "RENAME TABLE system.query_log TO t2",
    "RENAME TABLE t TO system.t",
    "ALTER TABLE system.query_log DELETE WHERE 1",
    "INSERT INTO system.query_log (query) VALUES ('x')",
    "CREATE TABLE system.x (a Int8) ENGINE = Memory",
    "SELECT 1 SETTINGS additional_table_filters = {'system.one': 'length(file(''/etc/passwd'')) > 0'}",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM `/etc/passwd`",
    "SELECT * APPLY(file) FROM (SELECT '/etc/passwd' AS p)",
    "SELECT * APPLY file FROM (SELECT '/etc/passwd' AS p)",
    "SELECT * APPLY((`file`)) FROM (SELECT '/etc/passwd' AS p)",
    "SELECT arrayMap(file, ['/etc/passwd'])",
    "SELECT arrayMap((file), ['/etc/passwd'])",
    "SELECT arrayMap(file AS f, ['/etc/passwd'])",
    r"""SELECT "\x66ile"('/etc/passwd')""",
    r"SELECT `fi\Nle`('/etc/passwd')",
    r"CREATE DICTIONARY x (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(QUERY 'SELECT \x66ile(''/etc/passwd'')')) "
    "LAYOUT(FLAT())",
    r"CREATE DICTIONARY x (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(QUERY 'SELECT fi\Nle(''/etc/passwd'')')) "
    "LAYOUT(FLAT())",
    r"SELECT 1 SETTINGS additional_result_filter = 'length(fi\Nle(''/etc/passwd'')) > 0'",
    r"SELECT 1 SETTINGS additional_table_filters = {'system.one': 'length(\x66ile(''/etc/passwd'')) > 0'}",
    "SET send_logs_source_regexp = 'x'",
    "SELECT 1 SETTINGS `send_logs_source_regexp` = 'x'",
    "SET additional_result_filter = {p:String}",
    "SELECT 1 SETTINGS additional_table_filters = {'system.one': {p:String}}",
    "CREATE TABLE x (select Int8) ENGINE = Executable('x', 'CSV')",
    "CREATE TABLE select (a Int8) ENGINE = Executable('x', 'CSV')",
    "CREATE TABLE x AS select.t ENGINE = Executable('x', 'CSV')",
    "CREATE DICTIONARY x (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(`host` 'h' QUERY 'SELECT 1')) LAYOUT(FLAT())",
    "CREATE DICTIONARY x (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(port 1 QUERY 'SELECT 1')) LAYOUT(FLAT())",
    "CREATE DICTIONARY x (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(SECURE 1 QUERY 'SELECT 1')) LAYOUT(FLAT())",
]

# Refused for being unknown here (60), or because the engine then takes nothing but literals (62).
OTHER_CODES = {
    "SELECT * FROM '/etc/passwd'": 60,
    "SELECT * FROM `/etc/passwd`": 60,
    "INSERT INTO t VALUES (length(file('/etc/passwd')))": 62,
    "SELECT * APPLY((`file`)) FROM (SELECT '/etc/passwd' AS p)": 62,
    "SELECT 1 SETTINGS additional_table_filters = {'system.one': {p:String}}": 62,
}

ALLOWED = [
    "SELECT 'file(''/etc/passwd'')'",
    "SELECT $$ file('x') $$ AS url",
    "SELECT 1 -- file('x')",
    "SELECT 1 /* url('x') INTO OUTFILE 'y' */",
    "SELECT file, url FROM t",
    "SELECT concat(file, url), arrayMap(x -> concat(x, file), [url]) FROM t",
    "SELECT * APPLY(toString) FROM (SELECT 1 AS u)",
    "SELECT COLUMNS('u') APPLY(quantileExact(0.5)) FROM (SELECT 1 AS u)",
    r"""SELECT 1 AS `a\`b`, '\x66ile(' AS "c\\d" """,
    "CREATE TABLE s ENGINE = Memory AS SELECT engine FROM system.tables WHERE engine = name",
    "SELECT t.url, `file` FROM t WHERE file IN ('a') AND url = 'ENGINE = File(CSV)'",
    "INSERT INTO t (url, file) VALUES ('a', 'file(''x'')')",
    "INSERT INTO t (url, file) SELECT 'INTO OUTFILE', ';'",
    "CREATE TABLE file (url String, INDEX url (url) TYPE bloom_filter) ENGINE = MergeTree ORDER BY url",
    "INSERT INTO file (url) VALUES ('x;y')",
    "SELECT engine FROM system.tables WHERE engine = 'File'",
    "SELECT format('{} {}', 'a', 'b'), domain('http://x/file(')",
    "SELECT * FROM numbers(2) AS n, values('a Int8', 1) AS v",
    "SELECT * FROM generateRandom('b Int8') LIMIT 1",
    "SELECT * FROM view(SELECT 1) AS v CROSS JOIN merge(currentDatabase(), '^t$') AS m LIMIT 1",
    "CREATE DICTIONARY d (url String, a UInt64) PRIMARY KEY url "
    "SOURCE(CLICKHOUSE(QUERY 'SELECT url, 1 AS a FROM {database}.t')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
    "CREATE DICTIONARY d2 (url String, file String) PRIMARY KEY url "
    "SOURCE(CLICKHOUSE(DB '{database}' TABLE 't')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
    "CREATE MATERIALIZED VIEW v ENGINE = AggregatingMergeTree ORDER BY engine AS SELECT url AS engine FROM t",
    "CREATE TABLE e (engine String, source String) ENGINE MergeTree ORDER BY (engine, source)",
    "CREATE TABLE c AS t ENGINE = ReplacingMergeTree ORDER BY url",
    "ALTER TABLE t ADD COLUMN disk String",
    "SELECT count() FROM t SETTINGS additional_table_filters = {'t': 'url != ''file()'''}",
    "OPTIMIZE TABLE t FINAL",
    "SYSTEM RELOAD DICTIONARIES",
    "SYSTEM FLUSH LOGS",
    "SYSTEM STOP MERGES t",
    "SYSTEM START MERGES t",
    "EXPLAIN PIPELINE SELECT count() FROM t",
    "EXISTS TABLE t",
    "SHOW CREATE TABLE t",
    "CREATE DATABASE IF NOT EXISTS {database}",
    "RENAME TABLE file TO url",
    "TRUNCATE TABLE t",
]


@pytest.fixture
def table(client: Client) -> Client:
    client.command("CREATE TABLE t (url String, file String) ENGINE = MergeTree ORDER BY url")
    return client


@pytest.mark.parametrize("sql", REFUSED)
def test_reaching_outside_is_refused(table: Client, sql: str) -> None:
    with pytest.raises(DatabaseError) as error:
        table.raw_query(sql)
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
    ],
)
def test_settings_in_the_url_are_no_way_out(server: Endpoint, name: str, value: str, code: int) -> None:
    headers = {"X-ClickHouse-Key": server.password}
    answer = httpx.post(server.url, content="SELECT 1", params={name: value}, headers=headers)
    assert answer.headers["X-ClickHouse-Exception-Code"] == str(code)


def test_another_dialect_cannot_be_chosen(client: Client) -> None:
    with pytest.raises(DatabaseError, match="The setting dialect is refused"):
        client.command("SET dialect = 'prql'")


def test_the_engine_refuses_by_itself(tmp_path: Path) -> None:
    """Without the reading of tokens: what a trick with the SQL's text would still run into."""
    script = """
import json, sys
from pathlib import Path
from iot_platform.clickhouse.embedded.config import write_config
from iot_platform.clickhouse.embedded.engine import Engine
from iot_platform.clickhouse.embedded.faults import ClickHouseError
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
        if any(f"FROM {name}" in sql or f"AS {name}" in sql or f"FUNCTION {name}" in sql for name in sources)
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
