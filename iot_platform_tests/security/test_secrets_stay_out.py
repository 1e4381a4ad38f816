"""No secret reaches Dagster's storage, neither from a successful run nor from an error that quotes one."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import requests
from clickhouse_connect.driver.client import Client

from iot_platform.alerts.mail import read_smtp_url
from iot_platform.errors import DeliveryError, ServerError
from iot_platform.security.secret_values import hide_secrets, hide_secrets_in_errors
from iot_platform.services.dagster import CODE
from iot_platform.services.instance import dagster_home
from iot_platform.settings import Settings

CANARIES = {
    "IOT_CLICKHOUSE_PASSWORD": "canary-clickhouse-password",
    "IOT_CRM_TOKEN": "pat-na1-canary-token",
    "IOT_ALERT_SMTP_URL": "smtps://alerts:canary%2Fsmtp@127.0.0.1:9",
    "IOT_ALERT_WEBHOOK_URL": "http://127.0.0.1:9/services/T0/B0/canary-webhook",
}
AWAY = "http://iot:canary-in-url@127.0.0.1:9"
DAY = "2026-01-02"


@contextmanager
def echo() -> Iterator[str]:
    """A CRM that answers with the text of the request, as some proxies do, instead of objects."""

    class Echo(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f'{{"results": "{self.headers["Authorization"]}"}}'.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def canaries(platform: Client, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The environment of Dagster's processes, with every secret set."""
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IOT_ALERT_EMAIL_FROM", "a@example.org")
    monkeypatch.setenv("IOT_ALERT_EMAIL_TO", "b@example.org")
    home = dagster_home(Settings())
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    return os.environ


def materialize(asset: str, **changes: str) -> str:
    """Materialize an asset in a separate process with captured logs; returns its output."""
    command = [sys.executable, "-m", "dagster", "asset", "materialize", *CODE, "--select", asset]
    command += ["--partition", DAY] if asset != "device_metadata" else []
    done = subprocess.run(
        command, env={**os.environ, **changes}, capture_output=True, text=True, timeout=300, check=False
    )
    return done.stdout + done.stderr


def leaks(home: Path, output: str, *more: str) -> list[str]:
    """Each secret that is in the output of a process or in a file of Dagster's storage, with its place."""
    secret = ["canary", *more]
    files = [path for path in home.rglob("*") if path.is_file()]
    assert [path for path in files if path.name.endswith(".db")]
    found = [str(path) for path in files for value in secret if value.encode() in path.read_bytes()]
    return found + [line for line in output.splitlines() for value in secret if value in line]


def test_a_run_stores_no_secret(canaries: Mapping[str, str], server_password: str) -> None:
    output = materialize("l1_power_raw")
    assert "RUN_SUCCESS" in output
    assert leaks(Path(canaries["DAGSTER_HOME"]), output, server_password) == []


@pytest.mark.parametrize(
    ("asset", "changes", "told"),
    [
        ("l1_power_raw", {"IOT_CLICKHOUSE_URL": AWAY}, "127.0.0.1:9"),
        ("l1_power_raw", {"IOT_CLICKHOUSE_URL": "http://iot:canary-in-url@host:port"}, "IOT_CLICKHOUSE_URL"),
        ("l1_power_raw", {"IOT_CLICKHOUSE_URL": "canary-in-no-url"}, "IOT_CLICKHOUSE_URL"),
        ("device_metadata", {"IOT_DEVICES_SOURCE": "crm"}, "not a page of CRM objects"),
        ("device_metadata", {"IOT_DEVICES_SOURCE": "crm", "IOT_CRM_TOKEN": "canary\nsecond-line"}, "IOT_CRM_TOKEN"),
        ("device_metadata", {"IOT_DEVICES_CSV": "http://me:canary@127.0.0.1:9/d.csv?sig=canary"}, "127.0.0.1:9/d.csv"),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_a_failed_run_stores_no_secret(
    canaries: Mapping[str, str], server_password: str, asset: str, changes: dict[str, str], told: str
) -> None:
    with echo() as crm:
        output = materialize(asset, IOT_CRM_URL=crm, **changes)
    assert "RUN_FAILURE" in output and told in output
    assert leaks(Path(canaries["DAGSTER_HOME"]), output, server_password, "second-line") == []


def test_secrets_that_an_error_quotes_are_hidden(canaries: Mapping[str, str]) -> None:
    def post() -> None:
        try:
            requests.post(CANARIES["IOT_ALERT_WEBHOOK_URL"], timeout=5)
        except requests.RequestException as error:
            raise DeliveryError("It did not answer.") from error

    def handled() -> None:
        try:
            raise ValueError({"password": CANARIES["IOT_CLICKHOUSE_PASSWORD"]})
        except ValueError:
            raise dg.RetryRequested(max_retries=0)  # noqa: B904

    def mail() -> None:
        # As a server may echo it, with %XX decoded.
        smtp_url = Settings().alert_smtp_url
        assert smtp_url
        raise ServerError(f"535 {read_smtp_url(smtp_url).password} is wrong")

    def failure() -> None:
        raise dg.Failure(f"{CANARIES['IOT_CRM_TOKEN']} is refused")

    def asset(step: Callable[[], None]) -> dg.AssetsDefinition:
        @dg.asset(name=step.__name__)
        def raising() -> None:
            with hide_secrets_in_errors():
                step()

        return raising

    with dg.DagsterInstance.from_config(canaries["DAGSTER_HOME"]) as instance:
        result = dg.materialize(
            [asset(step) for step in (post, handled, mail, failure)], instance=instance, raise_on_error=False
        )
        shown = "".join(dg.serialize_value(record) for record in instance.all_logs(result.run_id))
    assert "It did not answer." in shown and "RetryRequested" in shown and "***" in shown
    assert leaks(Path(canaries["DAGSTER_HOME"]), shown) == []


def test_an_error_without_secrets_is_unchanged(canaries: Mapping[str, str]) -> None:
    error = ServerError("ClickHouse at 127.0.0.1:8123 is away")
    with pytest.raises(ServerError) as raised, hide_secrets_in_errors():
        raise error from OSError("no route")
    assert raised.value is error and isinstance(error.__cause__, OSError)
    assert hide_secrets("http://127.0.0.1:9 iot alerts") == "http://127.0.0.1:9 iot alerts"


@pytest.fixture
def server_password(platform: Client) -> str:
    """The password of the server that the runs use."""
    return Settings().clickhouse_url.get_secret_value().split("@")[0].rpartition(":")[2]  # type: ignore[union-attr]
