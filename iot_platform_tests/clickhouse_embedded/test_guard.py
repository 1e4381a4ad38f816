"""What clients may not do: both fences, the reading of tokens and the engine's own grants."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from iot_platform.clickhouse.endpoint import Endpoint

SELECTS_FILE = "SELECT length(file('/etc/passwd'))"


def dictionary(source: str, layout: str = "FLAT()") -> str:
    return f"CREATE DICTIONARY x (a UInt64) PRIMARY KEY a SOURCE({source}) LAYOUT({layout})"


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

# What the first guard let through, because its tokens were not the engine's.
REFUSED += [
    *(f"SELECT file{invisible}('/etc/passwd')" for invisible in "\u180e\u200b\u200c\u200d\u2060\u00a0\ufeff"),
    "SELECT file // c\n('/etc/passwd')",
    "SELECT * FROM url // c\n('http://127.0.0.1:1/', 'CSV', 'a Int8')",
    dictionary(f"CLICKHOUSE(QUERY x'{SELECTS_FILE.encode().hex()}')"),
    dictionary(f"CLICKHOUSE(QUERY b'{''.join(f'{byte:08b}' for byte in SELECTS_FILE.encode())}')"),
    dictionary("CLICKHOUSE(TABLE 'one' DB 'system' WHERE 'length(file(''/etc/passwd'')) > 0')"),
    dictionary("CLICKHOUSE(TABLE 'one' DB 'system' WHERE '1) UNION ALL SELECT (file(''/etc/passwd'')')"),
    dictionary("CLICKHOUSE(TABLE 'one' DB 'system' INVALIDATE_QUERY 'SELECT file(''/etc/passwd'')')"),
    dictionary("CLICKHOUSE(TABLE 'one' DB 'system' UPDATE_FIELD 'file(''/etc/passwd'')')"),
    dictionary("CLICKHOUSE(TABLE 'one' DB 'system')", "SSD_CACHE(PATH '/tmp/x')"),
    f"SELECT 1 SETTINGS additional_result_filter = x'{b'length(file(1)) > 0'.hex()}'",
    "SELECT * FROM values('a Int8, c String ALIAS file(''/etc/passwd'')', 1)",
    "SELECT * FROM values(concat('a Int8, c String ALIAS fi', 'le(''/etc/passwd'')'), 1)",
    "WITH 'a Int8, c String ALIAS file(''/etc/passwd'')' AS s SELECT * FROM values(s, 1)",
    "SELECT * FROM values({p:String}, 1)",
    "SELECT * FROM values(('x', 'a Int8').2, 1)",
    "SELECT * FROM format(CSV, 'a Int8, c String DEFAULT file(''/etc/passwd'')', '1')",
    "SELECT * FROM format(Values, 'c String', '(file(''/etc/passwd''))')",
    "WITH 'Values' AS f SELECT * FROM format(f, 'c String', '(file(''/etc/passwd''))')",
    "WITH 'Values' AS CSV SELECT * FROM format(CSV, 'c String', '(file(''/etc/passwd''))')",
    "SELECT 1 WHERE 'x' IN format('CSV', concat('c String ALIAS fi', 'le(1)'), '1')",
    r"SELECT a FROM format(Values, 'a String', '(`fil\\x65`(\'/etc/hosts\'))')",
    "SELECT a FROM format(Values, 'a UInt64', '((SELECT count() FROM numbers(3)))')",
    "SELECT arrayMap({g:Identifier}, ['/etc/hosts'])[1]",
    "CREATE VIEW vp AS SELECT arrayMap({g:Identifier}, ['/etc/hosts'])[1]",
    "CREATE FUNCTION udf1 AS x -> arrayMap({g:Identifier}, [x])",
    "SELECT 1 SETTINGS totals_auto_threshold = -inf, additional_result_filter = 'file(1)'",
    "SELECT 1 SETTINGS a.b = 1, additional_result_filter = '0'",
    "CREATE TABLE x (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS storage_policy = -inf, disk = 'default'",
    "SELECT * FROM generateRandom('c String ALIAS file(''/etc/passwd'')')",
    "INSERT INTO FUNCTION null('c String, d String ALIAS file(''/etc/passwd'')') SELECT 1",
    "SELECT 1 SETTINGS filter = 'length(file(''/etc/passwd'')) > 0'",
    "SELECT 1 SETTINGS `select` = 'file(''/etc/passwd'')'",
    "SELECT 1 FORMAT Protobuf SETTINGS output_format_schema = '/tmp/x'",
    "SET input_format_record_errors_file_path = '/tmp/x'",
    "SELECT 1 SETTINGS format_schema = '/etc/passwd:x'",
    "ALTER TABLE t MODIFY SETTING disk = disk(type = local, path = '/tmp/x/')",
    "ALTER TABLE t RESET SETTING disk",
    "CREATE WORKLOAD w",
    "GRANT ALL ON *.* TO default",
    "INSERT INTO t VALUES (length(file('/etc/passwd')))",
    r"INSERT INTO t VALUES (`\x66ile`('/etc/passwd'), '')",
    r"INSERT INTO t VALUES (`fi\Nle`('/etc/passwd'), '')",
    "INSERT INTO t VALUES ((SELECT c FROM values(concat('c String, d String ALIAS fi', 'le(1)'), '1')), '')",
    "SELECT 1 SETTINGS additional_table_filters = map('system.one', 'length(file(''/etc/passwd'')) > 0')",
]

# Refused for being unknown here (60), or because nothing but literals is taken then (62, 344).
OTHER_CODES = {
    "SELECT * FROM '/etc/passwd'": 60,
    "SELECT * FROM `/etc/passwd`": 60,
    **dict.fromkeys((sql for sql in REFUSED if "INTO t VALUES (length" in sql or "filters = map(" in sql), 62),
    **dict.fromkeys((sql for sql in REFUSED if "INTO t VALUES (`" in sql or "INTO t VALUES ((SELECT" in sql), 344),
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
    r"SELECT 1 AS `a\tb`, 2 AS `\x66ile`, x'66696c6528' AS s",
    "SELECT * FROM values((1, 'file('), (2, toString(now())))",
    "SELECT * FROM values('a Int8, b String DEFAULT ''file'' ', (1, 'x'), (2, 'file(1)'))",
    'SELECT * FROM format(JSONEachRow, \'a Int8, b String\', \'{"a": 1, "b": "file"}\')',
    "SELECT * FROM format(CSV, 'b String', 'a file (of mine)')",
    "SELECT format('{} {}', concat('a', url), toString(1)) FROM t",
    "SELECT * FROM generateRandom(generateRandomStructure(2, 1)) LIMIT 1",
    "SELECT settings, `filter` FROM (SELECT 1 AS settings, 2 AS `filter`) WHERE `filter` = 2",
    "SELECT 1 SETTINGS log_comment = 'file(', max_threads = 2, session_timezone = 'Asia/Kolkata'",
    "SELECT 1 SETTINGS use_query_cache",
    "INSERT INTO t (url, file) VALUES (concat('a', 'b'), toString(now()))",
    "WITH 1 AS one INSERT INTO t (url, file) VALUES ('a', 'b')",
    "INSERT INTO FUNCTION null('c String') SELECT 'x'",
    "DROP DICTIONARY IF EXISTS nothing",
    "CREATE DICTIONARY d0 (name String, value String) PRIMARY KEY name "
    "SOURCE(CLICKHOUSE(TABLE 'settings' DB 'system')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
    "TRUNCATE ALL TABLES FROM {database} LIKE 'none'",
    "CREATE OR REPLACE FUNCTION doubled AS x -> x * 2",
    "DROP FUNCTION doubled",
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
        ("filter", "length(file('/etc/passwd')) > 0", 497),
        ("output_format_schema", "/tmp/x", 497),
        ("input_format_record_errors_file_path", "/tmp/x", 497),
        ("url_base", "http://127.0.0.1:1", 497),
        ("additional_table_filters", r"map('system.one', 'length(file(\'/etc/passwd\')) > 0')", 497),
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


def test_errors_name_nothing_of_the_server(server: Endpoint, table: Client) -> None:
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


def test_a_syntax_error_is_the_clients_own(server: Endpoint) -> None:
    answer = httpx.post(server.url, content="SELECT 1 +", headers={"X-ClickHouse-Key": server.password})
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (400, "62")
    assert "failed at position 11" in answer.text


def test_one_request_does_not_stop_the_others(server: Endpoint) -> None:
    """Heredoc tags without end kept the event loop busy for a minute at 129 KiB."""
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


def test_names_of_functions_are_no_parameters(server: Endpoint, table: Client) -> None:
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


def test_an_insert_that_goes_on_behind_its_end_stores_nothing(table: Client) -> None:
    for values in ("('a', 'b');('c', 'd')", "('a', 'b');;('c', 'd')", "('a;', 'b'); SELECT 1"):
        with pytest.raises(DatabaseError, match="Syntax error"):
            table.raw_query(f"INSERT INTO t VALUES {values}")
    assert table.command("SELECT count() FROM t") == 0
    table.raw_query("INSERT INTO t VALUES ('a;', 'b'); -- the end")
    assert table.command("SELECT count() FROM t") == 1


def test_a_statement_whose_rendering_is_longer_than_the_engines_limit(client: Client) -> None:
    numbers = ",".join(map(str, range(1000, 41_000)))
    assert client.command(f"SELECT sum(x IN ({numbers})) FROM (SELECT 1000 AS x)") == 1


def test_time_of_the_judgement_grows_with_the_statement(server: Endpoint) -> None:
    headers = {"X-ClickHouse-Key": server.password}
    many = ", ".join(["arrayMin(a)"] * 20_000)
    answer = httpx.post(server.url, content=f"SELECT {many} FROM (SELECT [1] AS a)", headers=headers, timeout=60)
    assert answer.status_code in (200, 400, 500)
    names = ", ".join(["{a:Identifier}"] * 100_000)
    answer = httpx.post(server.url, params={"param_a": "x"}, content=f"SELECT {names}", headers=headers, timeout=60)
    assert answer.status_code >= 400
