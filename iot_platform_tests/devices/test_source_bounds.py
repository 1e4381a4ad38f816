"""Limits for a metadata source: size, memory, time and redirects; and errors that reveal nothing of other files."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from iot_platform.devices.sources import api
from iot_platform.devices.sources.configured import configured_source, crm_source
from iot_platform.devices.sources.download import DownloadError, redirected
from iot_platform.devices.violations import ContractError
from iot_platform.errors import SourceError
from iot_platform.settings import Settings

HEADER = "device_id,customer_id,building_type,latitude,longitude\n"
GOOD = f"{HEADER}1,c1,office,51,0\n".encode()
PIECE = b"x" * 65_536
# Far more than is ever read. (A truly endless answer would make a broken client hang.)
ENDLESS_BYTES = 1 << 28
READ_ALL = """
import resource, sys
from iot_platform.devices.sources.configured import configured_source
from iot_platform.errors import SourceError
from iot_platform.settings import Settings
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(len(configured_source(Settings()).read().devices), "rows")
except SourceError as error:
    print(len(str(error)), str(error).splitlines()[0])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


class Server:
    """A web server with odd pages. ``asked``: the requested paths; ``sent``: the bytes of endless answers."""

    def __init__(self, other: str = "") -> None:
        self.asked: list[str] = []
        self.sent = 0
        self.status = 200
        self.other = other
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0]
        self.asked.append(path)
        location = {
            "/moved": "/devices.csv",
            "/loop": "/loop",
            "/foreign": f"{self.other}/devices.csv",
            "/metadata": "http://169.254.169.254/latest/meta-data/",
            "/file": "file:///etc/passwd",
            "/nowhere": "",
        }.get(path)
        if location is not None:
            handler.send_response(302)
            handler.send_header("Location", location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        elif path == "/devices.csv":
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(GOOD)))
            handler.end_headers()
            handler.wfile.write(GOOD)
        else:
            self._endless(handler)

    def _endless(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(self.status)
        handler.end_headers()
        try:
            while self.sent < ENDLESS_BYTES:
                handler.wfile.write(PIECE)
                self.sent += len(PIECE)
        except OSError:
            return  # the client closed the connection


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        server.url = f"http://127.0.0.1:{listening.server_port}"
        yield server
        listening.shutdown()
        thread.join(10)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as found:
        yield found


def read(monkeypatch: pytest.MonkeyPatch, location: str) -> int:
    monkeypatch.setenv("IOT_DEVICES_CSV", location)
    return len(configured_source(Settings()).read().devices)


def test_a_redirect_on_the_same_host_is_followed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, f"{server.url}/moved") == 1
    assert server.asked == ["/moved", "/devices.csv"]


@pytest.mark.parametrize("path", ["foreign", "metadata", "file", "nowhere"])
def test_a_redirect_to_another_host_or_protocol_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    with serving(Server()) as other:
        server.other = other.url
        with pytest.raises(SourceError, match="redirected to another host, port or protocol"):
            read(monkeypatch, f"{server.url}/{path}")
        assert other.asked == []


def test_a_redirect_to_another_host_is_refused_inside_another_url(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Server()) as other:
        server.other = other.url
        with pytest.raises(SourceError):
            read(monkeypatch, f"simplecache::{server.url}/foreign")
        assert other.asked == []


def test_the_number_of_redirects_is_limited(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="redirected more than 5 times"):
        read(monkeypatch, f"{server.url}/loop")
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    ("url", "location", "allowed"),
    [
        ("http://h/a", "https://h/b", True),
        ("http://h:8080/a", "https://h/b", True),
        ("https://h/a", "http://h/b", False),
        ("https://h/a", "//other/b", False),
        ("https://h/a", "https://h:8443/b", False),
        ("https://h/a", "https://h:443/b", True),
        ("https://h/a", "https://h@other/b", False),
    ],
)
def test_where_a_redirect_may_lead(url: str, location: str, allowed: bool) -> None:
    if allowed:
        assert redirected(url, location).startswith("https://h")
    else:
        with pytest.raises(DownloadError):
            redirected(url, location)


def test_an_answer_without_end_is_cut_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_DEVICES_MAX_BYTES", "1000000")
    with pytest.raises(SourceError, match=r"more than 1,000,000 bytes .IOT_DEVICES_MAX_BYTES"):
        read(monkeypatch, f"{server.url}/endless")
    assert server.sent < ENDLESS_BYTES / 4


@pytest.mark.parametrize("status", [200, 404, 503])
def test_an_answer_of_the_crm_without_end_is_cut_off(
    server: Server, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(api, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setenv("IOT_DEVICES_MAX_BYTES", "1000000")
    monkeypatch.setenv("IOT_CRM_URL", server.url)
    monkeypatch.setenv("IOT_CRM_TOKEN", "secret")
    server.status = status
    message = {200: "more bytes than allowed", 404: "HTTP 404", 503: "HTTP 503, tried 6 times"}[status]
    with pytest.raises(SourceError, match=message) as error:
        crm_source(Settings()).read()
    assert server.sent < ENDLESS_BYTES / 4 and len(str(error.value)) < 1000


@pytest.mark.parametrize("name", ["file", "larger", "device"])
def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("IOT_DEVICES_MAX_BYTES", str(len(GOOD)))
    (tmp_path / "file").write_bytes(GOOD)
    (tmp_path / "larger").write_bytes(GOOD + b"\n")
    (tmp_path / "device").symlink_to("/dev/zero")
    if name == "file":
        assert read(monkeypatch, str(tmp_path / name)) == 1
        return
    with pytest.raises(SourceError, match="more than 72 bytes" if name == "larger" else "not a regular file"):
        read(monkeypatch, str(tmp_path / name))


def test_a_pipe_that_nobody_writes_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="not a regular file"):
        read(monkeypatch, str(tmp_path / "pipe"))


@pytest.mark.parametrize("text", ["root:$6$verysecret:19000:0:99999:7:::\nbin:*:1\n", "device_id verysecret,x\n1,2\n"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_an_error_quotes_nothing_of_a_file_that_is_not_a_csv_of_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, scheme: str
) -> None:
    path = tmp_path / "shadow"
    path.write_text(text)
    with pytest.raises(SourceError, match="has no column 'device_id'") as error:
        read(monkeypatch, f"{scheme}{path}")
    assert "verysecret" not in str(error.value) and "root" not in str(error.value).replace(str(path), "")


@pytest.mark.parametrize(
    ("row", "rows", "found"),
    [
        (b"1,c,o,95,0\n", 200_000, "400,000 violations"),
        (b",,,,\n", 200_000, "1,000,000 violations"),
        (b"a\n", 300_000, "300,000 violations"),
        (b'"\n",', 500_000, "a row of more than 1,048,576 characters"),
        (b",", 3_000_000, "a row of more than 1,048,576 characters"),
    ],
)
def test_a_file_with_only_wrong_rows_takes_little_memory(tmp_path: Path, row: bytes, rows: int, found: str) -> None:
    path = tmp_path / "devices.csv"
    path.write_bytes(HEADER.encode() + row * rows)
    env = {**os.environ, "IOT_DEVICES_CSV": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL], env=env, capture_output=True, text=True, check=True, timeout=300
    )
    message, used_bytes = done.stdout.splitlines()
    length, _, text = message.partition(" ")
    assert found in text and int(length) < 20_000
    # One piece of rows and its violations; the file has 3 MB at most.
    assert int(used_bytes) < 150 << 20


def test_the_first_violations_are_listed_and_the_rest_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "devices.csv"
    path.write_text(
        HEADER + "".join(f"{number},c,o,{'x' * 100_000 if number == 3 else 95},0\n" for number in range(900))
    )
    with pytest.raises(ContractError) as error:
        read(monkeypatch, str(path))
    assert [violation.row for violation in error.value.violations] == [*range(2, 102)]
    lines = str(error.value).splitlines()
    assert "900 violations" in lines[0] and lines[-1] == "  and 800 more" and max(map(len, lines)) < 300


def test_the_memory_of_a_good_file_grows_by_a_small_multiple_of_it(tmp_path: Path) -> None:
    path = tmp_path / "devices.csv"
    rows = 400_000
    path.write_text(
        HEADER
        + "".join(f"meter-{number:09d},customer {number // 3},office,51.5,{number % 90}\n" for number in range(rows))
    )
    env = {**os.environ, "IOT_DEVICES_CSV": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL], env=env, capture_output=True, text=True, check=True, timeout=300
    )
    read_rows, used_bytes = done.stdout.splitlines()
    assert read_rows == f"{rows} rows"
    assert int(used_bytes) < 14 * path.stat().st_size
