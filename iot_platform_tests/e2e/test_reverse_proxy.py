"""deploy/nginx.conf in a real nginx in front of the real webserver: TLS, a login, and the guard behind it."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
import urllib3
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from iot_platform.services.process import free_port
from iot_platform_tests.ui.webservers import GUARDED, webserver

CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"
DAGSTER, DASHBOARD = "dagster.example.org", "dashboard.example.org"
LOGIN = urllib3.make_headers(basic_auth="alice:very secret")
TIMEOUT_S = 30


@dataclass(frozen=True)
class Proxy:
    """A running nginx: its ports, and whom to trust."""

    port: int
    plain_port: int
    context: ssl.SSLContext

    def get(self, path: str, name: str = DAGSTER, **headers: str) -> urllib3.BaseHTTPResponse:
        """The answer to a GET by this name, over TLS."""
        pool = urllib3.HTTPSConnectionPool(
            "127.0.0.1", self.port, ssl_context=self.context, server_hostname=name, assert_hostname=name, retries=False
        )
        with pool:
            return pool.request("GET", path, headers={"Host": self.host(name), **headers}, timeout=TIMEOUT_S)

    def host(self, name: str) -> str:
        """The Host header that a browser sends."""
        return f"{name}:{self.port}"


def configured(folder: Path, port: int, plain_port: int, dagster_port: int) -> Path:
    """The documented configuration with the ports and files of this test, in a main one that needs no root."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = ca.issue_cert(DAGSTER, DASHBOARD)
    certificate.private_key_pem.write_to_path(str(folder / "iot-platform.key"))
    for chain in certificate.cert_chain_pems:
        chain.write_to_path(str(folder / "iot-platform.pem"), append=True)
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", "very secret"], capture_output=True, text=True, check=True
    ).stdout
    (folder / "iot-platform.htpasswd").write_text(f"alice:{hashed}")
    text = CONFIG.read_text()
    for documented, here in (
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("listen 80;", f"listen 127.0.0.1:{plain_port};"),
        ("http://127.0.0.1:3000", f"http://127.0.0.1:{dagster_port}"),
        ("http://127.0.0.1:3001", f"http://127.0.0.1:{dagster_port}"),
        ("/etc/ssl/certs/", f"{folder}/"),
        ("/etc/ssl/private/", f"{folder}/"),
        ("/etc/nginx/", f"{folder}/"),
        ("/var/log/nginx/", f"{folder}/"),
    ):
        assert documented in text
        text = text.replace(documented, here)
    (folder / "site.conf").write_text(text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{ access_log off; {temporary} include {folder}/site.conf; }}\n"
    )
    return main


@contextmanager
def running(program: str, main: Path, port: int) -> Iterator[None]:
    """nginx in the foreground, once it answers on ``port``."""
    process = subprocess.Popen([program, "-c", str(main), "-e", str(main.with_name("error.log"))])
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while not is_open(port):
            assert process.poll() is None and time.monotonic() < deadline, main.with_name("error.log").read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def is_open(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("nginx is needed (apt install nginx-light).")
        pytest.skip("No nginx here.")
    folder = tmp_path_factory.mktemp("nginx")
    ports = free_port(0, "127.0.0.1"), free_port(0, "127.0.0.1")
    with webserver(GUARDED, tmp_path_factory.mktemp("home"), IOT_TRUSTED_HOSTS=f"{DAGSTER},{DASHBOARD}") as dagster:
        main = configured(folder, *ports, dagster.port)
        tested = subprocess.run([program, "-t", "-c", str(main), "-e", str(folder / "t.log")], capture_output=True)
        assert tested.returncode == 0, tested.stderr.decode()
        with running(program, main, ports[0]):
            yield Proxy(*ports, ssl.create_default_context(cafile=str(folder / "ca.pem")))


def test_nothing_is_shown_without_a_login(proxy: Proxy) -> None:
    wrong = urllib3.make_headers(basic_auth="alice:guessed")
    for name in (DAGSTER, DASHBOARD):
        for path in ("/", "/graphql?query={version}", "/server_info"):
            assert proxy.get(path, name).status == proxy.get(path, name, **wrong).status == 401
    pool = urllib3.HTTPConnectionPool("127.0.0.1", proxy.plain_port, retries=False)
    with pool:
        plain = pool.request("GET", "/x", headers={"Host": DAGSTER}, timeout=TIMEOUT_S, redirect=False)
    assert (plain.status, plain.headers["Location"]) == (308, f"https://{DAGSTER}/x")


def test_with_a_login_the_own_page_works(proxy: Proxy) -> None:
    page = proxy.get("/runs", **LOGIN)
    assert page.status == 200 and b'id="root"' in page.data
    assert page.headers["Strict-Transport-Security"] and page.headers["X-Frame-Options"]
    own = {"Origin": f"https://{proxy.host(DAGSTER)}", "Sec-Fetch-Site": "same-origin"}
    assert proxy.get("/graphql?query={version}", **LOGIN, **own).json()["data"]["version"]


def test_a_foreign_page_is_refused_also_with_the_login(proxy: Proxy) -> None:
    # Browsers send a login of the proxy along with the requests of foreign pages.
    assert proxy.get("/graphql?query={version}", **LOGIN, Origin="https://evil.example").status == 403
    assert proxy.get("/graphql?query={version}", **LOGIN, Origin=f"https://{proxy.host(DASHBOARD)}").status == 403


def test_another_name_gets_no_answer(proxy: Proxy) -> None:
    with pytest.raises(urllib3.exceptions.SSLError):
        proxy.get("/", "evil.example", **LOGIN)


def test_websockets_pass(proxy: Proxy) -> None:
    def opened(**headers: str) -> str:
        url = f"wss://{proxy.host(DAGSTER)}/graphql"
        # Ours, as the name leads nowhere, and no proxy of the machine's environment.
        connection = socket.create_connection(("127.0.0.1", proxy.port), TIMEOUT_S)
        with connect(
            url,
            sock=connection,
            ssl=proxy.context,
            additional_headers=headers,
            subprotocols=[Subprotocol("graphql-ws")],
        ) as websocket:
            websocket.send('{"type": "connection_init"}')
            return str(websocket.recv(TIMEOUT_S))

    assert "connection_ack" in opened(**LOGIN, Origin=f"https://{proxy.host(DAGSTER)}")
    for headers, status in ((dict(LOGIN, Origin="https://evil.example"), 403), ({}, 401)):
        with pytest.raises(InvalidStatus) as refused:
            opened(**headers)
        assert refused.value.response.status_code == status
