"""What strangers may send to Dagster's webserver, as raw HTTP: nothing is launched, reported or shown."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from iot_platform.services.page_guard import MAX_BODY_BYTES
from iot_platform.services.webserver import MAX_WEBSOCKET_BYTES
from iot_platform_tests.ui.webservers import ASSET, GUARDED, LAUNCH, Webserver, webserver

TIMEOUT_S = 30
NAME = "iot.example"
JSON = {"Content-Type": "application/json"}
PATHS = ("/", "/graphql", "/server_info", "/runs", "/notebook", "/logs/x.err", "/download_debug/x", "/favicon.png")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    with webserver(GUARDED, tmp_path_factory.mktemp("guarded"), IOT_TRUSTED_HOSTS=NAME) as found:
        yield found


@pytest.fixture(autouse=True)
def unchanged(server: Webserver) -> Iterator[None]:
    """Whatever a test sends, the instance is as before."""
    before = server.changes()
    yield
    assert server.changes() == before


def post(server: Webserver, path: str, **options: Any) -> int:
    return requests.post(f"{server.url}{path}", timeout=TIMEOUT_S, allow_redirects=False, **options).status_code


def get(server: Webserver, path: str, **options: Any) -> requests.Response:
    return requests.get(f"{server.url}{path}", timeout=TIMEOUT_S, allow_redirects=False, **options)


def test_programs_and_own_pages_are_answered(server: Webserver) -> None:
    query = {"query": "{ version }"}
    assert get(server, "/graphql", params=query).json()["data"]["version"]
    for host in (NAME, f"{NAME}:3000", "localhost", "[::1]:3000"):
        for own in ({}, {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}):
            assert post(server, "/graphql", json=query, headers={"Host": host, **own}) == 200, (host, own)
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    page = get(server, "/runs", headers=link)
    assert page.status_code == 200 and page.headers["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.parametrize("path", PATHS)
def test_another_host_is_refused(server: Webserver, path: str) -> None:
    for host in ("evil.example", f"evil.example:{server.port}", f"{NAME}.evil.example", ""):
        answer = get(server, path, headers={"Host": host})
        assert answer.status_code == 403 and "IOT_TRUSTED_HOSTS" in answer.text, host
    assert post(server, "/graphql", json={"query": LAUNCH}, headers={"Host": "evil.example"}) == 403
    assert post(server, f"/report_asset_materialization/{ASSET}", json={}, headers={"Host": "evil.example"}) == 403


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_another_page_is_refused(server: Webserver, path: str, headers: dict[str, str]) -> None:
    assert get(server, path, headers=headers).status_code == 403
    assert post(server, "/graphql", json={"query": LAUNCH}, headers=headers) == 403
    assert post(server, f"/report_asset_materialization/{ASSET}", json={}, headers=headers) == 403


@pytest.mark.parametrize(
    "query",
    [
        {"query": LAUNCH},
        {"query": f"query Q {{ version }} {LAUNCH}", "operationName": "L"},
        {"query": f"query Q {{ version }} {LAUNCH}", "operationName": "Q"},
        {"query": f"query L {{ version }} {LAUNCH}", "operationName": "L"},
        {"query": ["{ version }", LAUNCH]},
        {"query": 'subscription { pipelineRunLogs(runId: "x") { __typename } }'},
        {"query": "{ version"},
        {"query": "{a" * 9000},
    ],
)
def test_get_accepts_only_queries(server: Webserver, query: dict[str, Any]) -> None:
    assert get(server, "/graphql", params=query).status_code == 405
    assert requests.head(f"{server.url}/graphql", params=query, timeout=TIMEOUT_S).status_code == 405


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "text/plain",
        "text/plain; application/json",
        "multipart/form-data; boundary=application/json",
        "application/x-www-form-urlencoded",
        "application/graphql",
        "application/jsonp",
    ],
)
def test_changes_must_be_json(server: Webserver, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    body = json.dumps({"query": LAUNCH})
    assert post(server, "/graphql", params={"query": LAUNCH}, data=body.encode(), headers=headers) == 415
    assert post(server, "/graphql", params={"query": LAUNCH}, headers=headers) == 415
    for report in ("materialization", "observation"):
        assert post(server, f"/report_asset_{report}/{ASSET}?description=x", headers=headers) == 415


@pytest.mark.parametrize("body", [[{"query": LAUNCH}], "mutation", "null", "{", "[" * 100_000])
def test_a_body_must_be_one_request(server: Webserver, body: object) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    assert post(server, "/graphql", data=text, params={"query": LAUNCH}, headers=JSON) == 400


def test_other_methods_change_nothing(server: Webserver) -> None:
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"):
        answer = requests.request(method, f"{server.url}/graphql", params={"query": LAUNCH}, timeout=TIMEOUT_S)
        assert answer.status_code == 415, method


def test_requests_of_strangers_are_limited_in_size_and_time(server: Webserver) -> None:
    head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert raw_status(server, f"{head}Content-Length: {10**15}\r\n\r\n".encode()) == 413
    # One byte too much, then silence: the answer must not wait for an end.
    chunks = f"{MAX_BODY_BYTES:x}\r\n".encode() + b" " * MAX_BODY_BYTES + b"\r\n1\r\n \r\n"
    assert raw_status(server, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks) == 413
    assert raw_status(server, b"GET /?" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n") in (400, 431)
    with connect(ws_url(server), subprotocols=[Subprotocol("graphql-ws")], max_size=None) as websocket:
        websocket.send("x" * (MAX_WEBSOCKET_BYTES + 1))
        with pytest.raises(ConnectionClosed):
            websocket.recv(TIMEOUT_S)


def raw_status(server: Webserver, request: bytes) -> int:
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT_S) as connection:
        connection.sendall(request)
        match = re.match(rb"HTTP/1\.1 (\d+)", connection.recv(100))
    assert match
    return int(match[1])


def ws_url(server: Webserver) -> str:
    return f"ws://127.0.0.1:{server.port}/graphql"


def test_websockets_are_for_own_pages_and_programs(server: Webserver) -> None:
    for origin in ("http://evil.example", "null", f"http://localhost:{server.port}"):
        with pytest.raises(InvalidStatus) as refused:
            connect(ws_url(server), additional_headers={"Origin": origin})
        assert refused.value.response.status_code == 403
    with pytest.raises(InvalidStatus), socket.create_connection(("127.0.0.1", server.port), TIMEOUT_S) as connection:
        connect(f"ws://evil.example:{server.port}/graphql", sock=connection)
    for own in ({}, {"Origin": server.url}):
        with connect(ws_url(server), additional_headers=own, subprotocols=[Subprotocol("graphql-ws")]) as websocket:
            websocket.send(json.dumps({"type": "connection_init"}))
            assert json.loads(websocket.recv(TIMEOUT_S)) == {"type": "connection_ack"}
