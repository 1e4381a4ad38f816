"""Sessions of the HTTP interface: what they keep between requests, and what they do not."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from iot_platform.clickhouse_embedded import sessions
from iot_platform_tests.clickhouse_embedded.http_queries import code, post, rows


def test_sessions_keep_tables_and_settings(http: httpx.Client) -> None:
    session = {"session_id": "keeps"}
    post(http, "CREATE TEMPORARY TABLE x AS SELECT 42 AS a", **session)
    post(http, "SET max_block_size = 77, log_comment = 'it''s'", **session)
    assert rows(http, "SELECT a FROM x", **session) == "42"
    show = "SELECT getSetting('max_block_size'), getSetting('log_comment')"
    assert rows(http, show, **session, max_block_size=5) == "5\tit\\'s"
    # A setting in the URL is for one request; what SET made stays.
    assert rows(http, show, **session) == "77\tit\\'s"
    post(http, "SELECT a FROM x", 404)
    post(http, "SELECT 1", **session, close_session=1)
    assert code(post(http, "SELECT 1", 500, **session, session_check=1)) == "372"
    assert code(post(http, "SELECT 1", 500, session_id="x", session_timeout=99999)) == "374"


def test_a_session_expires(http: httpx.Client) -> None:
    session: dict[str, str | int] = {"session_id": "short", "session_timeout": 1}
    post(http, "CREATE TEMPORARY TABLE x (a Int8)", **session)
    time.sleep(1.5)
    assert code(post(http, "SELECT 1", 500, **session, session_check=1)) == "372"


def test_a_session_serves_one_request_at_a_time(http: httpx.Client) -> None:
    session = {"session_id": "busy"}
    slow = threading.Thread(target=post, args=(http, "SELECT sleep(1)"), kwargs=session)
    slow.start()
    time.sleep(0.3)
    assert code(post(http, "SELECT 1", 500, **session)) == "373"
    slow.join()
    for _ in range(30):  # the session must be free before the client sees the last byte
        assert rows(http, "SELECT 1", **session) == "1"


def test_an_unknown_setting_does_not_keep_the_others_in_a_session(http: httpx.Client) -> None:
    value = "SELECT value FROM system.settings WHERE name = 'max_threads'"
    post(http, "SET max_threads = 3", session_id="restores")
    assert (
        http.post("/", content=value, params={**http.params, "session_id": "restores", "max_threads": 2}).text == "2\n"
    )
    bad = {**http.params, "session_id": "restores", "max_threads": "2", "nonsense": "1"}
    assert http.post("/", content=value, params=bad).status_code == 404
    assert rows(http, value, session_id="restores") == "3"
    post(http, "SET max_threads = {p:UInt64}", session_id="restores", param_p=4)
    assert rows(http, value, session_id="restores", max_threads=2) == "2"
    assert rows(http, value, session_id="restores") == "3"
    post(http, "SET additional_table_filters = {'a': '1', 'b': 'c = ''{x'''}, max_threads = 5", session_id="restores")
    assert rows(http, value, session_id="restores", max_threads=2, additional_table_filters="{'c': '1'}") == "2"
    both = "SELECT getSetting('max_threads'), length(getSetting('additional_table_filters'))"
    assert rows(http, both, session_id="restores") == "5\t2"


def _database(http: httpx.Client, session_id: str, **params: str) -> str:
    """The current database of a request, which names one only in ``params``."""
    sql = "SELECT currentDatabase()"
    return http.post("/", content=sql, params={"session_id": session_id, **params}).text.rstrip("\n")


def test_the_database_belongs_to_its_request(plain: httpx.Client, database: str) -> None:
    assert _database(plain, "db", database=database) == database
    assert _database(plain, "db") == "default"
    # A write of the next request would go to the wrong place.
    post(plain, "CREATE TABLE t (a Int8) ENGINE = Memory", session_id="db", database=database)
    insert = plain.post("/", content="INSERT INTO t VALUES (1)", params={"session_id": "db"})
    assert code(insert) == "60"
    # Also after a request that fails, and where the database does not exist.
    assert code(plain.post("/", content="SELCT", params={"session_id": "db", "database": database})) == "62"
    assert code(plain.post("/", content="SELECT 1", params={"session_id": "db", "database": "nowhere"})) == "81"
    unknown = {"session_id": "db", "database": database, "no_such_setting": "1"}
    assert code(plain.post("/", content="SELECT 1", params=unknown)) == "115"
    assert _database(plain, "db") == "default"


def test_use_outlasts_its_request(plain: httpx.Client, database: str) -> None:
    assert plain.post("/", content=f"/* c */ USE {database}", params={"session_id": "use"}).status_code == 200
    assert _database(plain, "use") == database
    assert _database(plain, "use", database="system") == "system"
    assert _database(plain, "use") == database
    assert plain.post("/", content="USE nowhere", params={"session_id": "use"}).status_code == 404
    assert _database(plain, "use") == database
    mixed = {"session_id": "use", "database": "system"}
    assert plain.post("/", content="USE default", params=mixed).status_code == 200
    assert _database(plain, "use") == "default"


@pytest.mark.slow
def test_sessions_are_bounded(http: httpx.Client) -> None:
    answer = httpx.Response(200)
    opened = []
    for number in range(sessions.MAX_SESSIONS + 1):
        answer = http.post("/", content="SELECT 1", params={"session_id": f"many-{number}", "session_timeout": 600})
        if answer.status_code != 200:
            break
        opened.append(f"many-{number}")
    assert code(answer) == "700"
    assert "close_session=1" in answer.text
    assert rows(http, "SELECT 1") == "1"  # without a session
    for name in opened:
        post(http, "SELECT 1", session_id=name, close_session=1)
    assert rows(http, "SELECT 1", session_id="after-many") == "1"
