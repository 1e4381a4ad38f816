"""ClickHouse is away while sensors and schedules run: one alert, one all-clear, and nothing is lost.

IOT_OUTAGE_S=120 makes it the rehearsal of two minutes; in the suite it is shorter.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from iot_platform.services.process import free_port
from iot_platform_tests.alerts.receivers import Receiver, receiving
from iot_platform_tests.e2e.commands import environment, iot_platform
from iot_platform_tests.e2e.running import Running, running, wait_until

OUTAGE_S = float(os.environ.get("IOT_OUTAGE_S", "40"))
REGULAR_JOBS = {"ingestion_job", "all_layers_job", "refresh_metadata_job"}
TODAY = dt.datetime.now(dt.UTC).date()


@contextmanager
def clickhouse(env: dict[str, str], port: int) -> Iterator[None]:
    """``iot-platform db serve`` for the length of a block."""
    server = subprocess.Popen(
        [sys.executable, "-m", "iot_platform", "db", "serve", "--port", str(port)],
        env=env,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: answers(port), "ClickHouse answers")
        yield
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(120)


def answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/ping", timeout=2).text == "Ok.\n"
    except requests.RequestException:
        return False


def since(platform: Running, before: set[str]) -> set[str]:
    """States of the runs that are not among those before."""
    return {run["status"] for run in platform.runs() if run["runId"] not in before}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(
        tmp_path / "home",
        IOT_SIMULATOR_DEVICES="20",
        IOT_SIMULATOR_INTERVAL_S="60",
        IOT_FIRST_DAY=str(TODAY - dt.timedelta(days=1)),
        IOT_AUTOMATION_ENABLED="true",
        IOT_PROVE_TODAY_CRON="* * * * *",
        IOT_METADATA_CRON="* * * * *",
        IOT_ALERT_SETTLE_S="5",
        IOT_ALERT_CLEAR_S="20",
        IOT_ALERT_REPEAT_MINUTES="30",
    )


def texts(receiver: Receiver) -> list[str]:
    return [message["text"] for message in receiver.got]


def test_an_outage_is_one_alert_and_one_all_clear(env: dict[str, str], tmp_path: Path) -> None:
    port = free_port(0, "127.0.0.1")
    with clickhouse(env, port):
        password = (tmp_path / "home" / "clickhouse" / "password").read_text(encoding="utf-8").strip()
    remote = {**env, "IOT_CLICKHOUSE_URL": f"http://default:{quote(password, safe='')}@127.0.0.1:{port}"}
    with receiving() as receiver, ExitStack() as server:
        remote["IOT_ALERT_WEBHOOK_URL"] = receiver.url
        server.enter_context(clickhouse(env, port))
        with running(remote, tmp_path) as platform:
            wait_until(
                lambda: {run["jobName"] for run in platform.runs() if run["status"] == "SUCCESS"} >= REGULAR_JOBS,
                "sensor and schedules run",
            )
            before = {run["runId"] for run in platform.runs()}
            server.close()
            went_away = time.monotonic()
            wait_until(lambda: receiver.got, "an alert")
            time.sleep(max(0.0, OUTAGE_S - (time.monotonic() - went_away)))
            server.enter_context(clickhouse(env, port))
            wait_until(lambda: len(receiver.got) > 1, "the all-clear")
            wait_until(lambda: "SUCCESS" in since(platform, before), "a run succeeds after the outage")
            # Steps are retried for half a minute, which is enough for a short outage.
            assert OUTAGE_S < 75 or "FAILURE" in since(platform, before)
        assert len(texts(receiver)) == 2, texts(receiver)
        assert "all clear" in texts(receiver)[1].lower()
        check_nothing_is_lost(remote)


def check_nothing_is_lost(env: dict[str, str]) -> None:
    """The simulator has nothing to add up to the last proof, and every day is proved."""
    last = iot_platform(env, "sql", "SELECT max(timestamp) AS last FROM l1_power_raw", "--json")
    until = json.loads(last)[0]["last"][:16].replace(" ", "T")
    iot_platform(env, "prove")
    status = json.loads(iot_platform(env, "status", "--json"))
    assert status["proved"] and status["conserved"]
    again = json.loads(iot_platform(env, "simulate", "--from", str(TODAY), "--to", until, "--json"))
    assert again["rows"] == 0, again
