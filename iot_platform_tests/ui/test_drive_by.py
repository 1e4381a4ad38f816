"""Foreign pages in a real browser against Dagster's webserver: they launch nothing, report nothing and learn nothing.

The same pages succeed against the stock webserver, which shows that the attacks are real.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page

from iot_platform_tests.ui.browser import chromium
from iot_platform_tests.ui.webservers import ASSET, GUARDED, LAUNCH, STOCK, Webserver, webserver

EVIL = "evil.example"
MAPPED = f"MAP {EVIL} 127.0.0.1"
REPORT = f"/report_asset_materialization/{ASSET}?description=forged"
TIMEOUT_MS = 20_000

# Each returns once its request has ended, whichever way. `target` is the webserver, `launch` the mutation.
PAGE_SCRIPT = """
const got = `${target}/graphql?query=${encodeURIComponent(launch)}`;
const body = JSON.stringify({query: launch});
const ended = element => new Promise(end => { element.onload = element.onerror = end; document.body.append(element); });
const post = (path, type) => fetch(target + path, {method: "POST", mode: "no-cors", credentials: "include",
  headers: type ? {"Content-Type": type} : {}, body: type ? body : undefined}).catch(() => null);
const form = encoding => new Promise(end => {
  const frame = Object.assign(document.createElement("iframe"), {name: encoding});
  const sent = Object.assign(document.createElement("form"), {method: "POST", enctype: encoding, target: encoding,
    action: got});
  document.body.append(frame, sent);
  sent.append(Object.assign(document.createElement("input"), {name: "query", value: launch}));
  frame.onload = end;
  sent.submit();
});
const hung = new Promise((_, fail) => setTimeout(fail, 20000, "the attack did not end"));
const attacks = {
  image: () => ended(Object.assign(new Image(), {src: got})),
  script: () => ended(Object.assign(document.createElement("script"), {src: got})),
  frame: () => ended(Object.assign(document.createElement("iframe"), {src: got})),
  fetch: () => fetch(got, {mode: "no-cors", credentials: "include"}).catch(() => null),
  text: () => post(got.slice(target.length), "text/plain"),
  disguised: () => post("/graphql", "text/plain; application/json"),
  report: () => post(report),
  form: () => form("application/x-www-form-urlencoded"),
  text_form: () => form("text/plain"),
  multipart_form: () => form("multipart/form-data"),
};
"""
ATTACKS = [line.split(":")[0].strip() for line in PAGE_SCRIPT.partition("attacks = {\n")[2].splitlines()[:-1]]
ATTACK = f"async ({{name, target, launch, report}}) => {{ {PAGE_SCRIPT} await Promise.race([attacks[name](), hung]); }}"
WEBSOCKET = """target => new Promise(end => {
  const socket = new WebSocket(target.replace("http", "ws") + "/graphql", "graphql-ws");
  socket.onopen = () => socket.send('{"type": "connection_init"}');
  socket.onmessage = message => end(message.data);
  socket.onerror = () => end("refused");
})"""


class _Blank(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A foreign page</title><body>")

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def foreign_site() -> Iterator[int]:
    """A web site on a free port, which ``EVIL`` and localhost both lead to."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Blank) as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.05,))
        thread.start()
        yield site.server_port
        site.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(f"--host-resolver-rules={MAPPED}") as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Webserver]:
    with webserver(GUARDED, tmp_path_factory.mktemp("guarded")) as found:
        yield found


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Webserver]:
    with webserver(STOCK, tmp_path_factory.mktemp("stock")) as found:
        yield found


@pytest.fixture(scope="module", params=[EVIL, "127.0.0.1"])
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A page of a foreign name, and one of another port of the same machine."""
    with foreign_site() as port:
        found = browser.new_page()
        found.set_default_timeout(TIMEOUT_MS)
        found.goto(f"http://{request.param}:{port}/")
        yield found
        found.close()


def attack(page: Page, server: Webserver, name: str) -> int:
    """Send one attack; how much it has changed."""
    before = server.changes()
    page.reload()
    page.evaluate(ATTACK, {"name": name, "target": server.url, "launch": LAUNCH, "report": REPORT})
    return server.changes() - before


@pytest.mark.parametrize("name", ATTACKS)
def test_a_foreign_page_changes_nothing(page: Page, server: Webserver, name: str) -> None:
    assert attack(page, server, name) == 0


def test_a_foreign_page_opens_no_websocket(page: Page, server: Webserver) -> None:
    assert page.evaluate(WEBSOCKET, server.url) == "refused"


def test_the_original_webserver_is_vulnerable(page: Page, stock: Webserver) -> None:
    # A frame asks for HTML, and gets a form for queries.
    assert {name for name in ATTACKS if attack(page, stock, name)} == {*ATTACKS} - {"frame"}
    assert "connection_ack" in page.evaluate(WEBSOCKET, stock.url)


def test_a_rebound_host_name_reaches_nothing(browser: Browser, server: Webserver) -> None:
    page = browser.new_page()
    answer = page.goto(f"http://{EVIL}:{server.port}/runs")
    assert answer and answer.status == 403
    before = server.changes()
    statuses = page.evaluate(
        """async launch => Promise.all([
          fetch("/graphql", {method: "POST", headers: {"Content-Type": "application/json"},
            body: JSON.stringify({query: launch})}),
          fetch("/graphql?query=" + encodeURIComponent("{version}")), fetch("/logs/x.err"),
        ]).then(answers => answers.map(answer => answer.status))""",
        LAUNCH,
    )
    assert statuses == [403, 403, 403] and server.changes() == before
    page.close()


def test_a_foreign_page_cannot_frame_the_ui(page: Page, server: Webserver) -> None:
    page.evaluate("url => { document.body.innerHTML = `<iframe src='${url}'></iframe>` }", f"{server.url}/runs")
    frame = page.locator("iframe").content_frame
    page.wait_for_timeout(2_000)
    assert frame.locator("#root").count() == 0


def test_links_and_own_pages_work(page: Page, server: Webserver) -> None:
    link = f"{server.url}/graphql?query={quote('{ version }')}"
    with page.context.expect_page() as opened:
        page.evaluate("url => { window.open(url, '_blank', 'noopener') }", f"{server.url}/runs")
    own = opened.value
    own.wait_for_load_state("domcontentloaded")
    before = server.changes()
    assert own.evaluate("url => fetch(url).then(answer => answer.json())", link)["data"]["version"]
    launched = own.evaluate(
        """launch => fetch("/graphql", {method: "POST", headers: {"Content-Type": "application/json"},
          body: JSON.stringify({query: launch})}).then(answer => answer.json())""",
        LAUNCH,
    )
    assert launched["data"]["launchRun"]["__typename"] == "LaunchRunSuccess"
    assert server.changes() == before + 1
    assert "connection_ack" in own.evaluate(WEBSOCKET, server.url)
    own.close()
