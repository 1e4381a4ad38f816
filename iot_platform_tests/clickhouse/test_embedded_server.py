"""Commands start the embedded server when they need it, share it and stop it; `iot-platform db` runs it by hand."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from iot_platform.clickhouse.embedded_server import running_server, stop_server
from iot_platform.clickhouse.endpoint import Endpoint, endpoint
from iot_platform.clickhouse_embedded.directory import ServerDirectory
from iot_platform.clickhouse_embedded.record import read_record
from iot_platform.errors import ServerError
from iot_platform.settings import Settings
from iot_platform_tests.clickhouse_embedded.processes import wait_for


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    made = Settings(home=tmp_path, clickhouse_url=None, clickhouse_port=0)
    yield made
    stop_server(made)


def environment(settings: Settings) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IOT_")}
    return {**kept, "IOT_HOME": str(settings.root), "IOT_CLICKHOUSE_PORT": str(settings.clickhouse_port)}


def command(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "iot_platform", *arguments],
        env=environment(settings), capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def serve(settings: Settings, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "iot_platform", "db", "serve", *arguments],
        env=environment(settings), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_for(lambda: endpoint(settings) is not None or process.poll() is not None)
    return process


def run(found: Endpoint | None, sql: str) -> str:
    assert found is not None
    answer = httpx.post(found.url, content=sql, headers={"X-ClickHouse-Key": found.password}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.text.rstrip("\n")


def test_a_killed_server_is_replaced_and_its_data_is_there(settings: Settings) -> None:
    directory = ServerDirectory(settings.clickhouse_dir)
    with running_server(settings) as found:
        run(found, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
        run(found, "INSERT INTO t SELECT number FROM numbers(100000)")
        record = read_record(directory.record)
        assert record is not None
        os.kill(record.pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(record.pid)], timeout=10)
    assert directory.record.exists()
    assert endpoint(settings) is None
    with running_server(settings) as found:
        assert run(found, "SELECT count() FROM t") == "100000"


def test_files_and_secrets(settings: Settings) -> None:
    with running_server(settings) as found:
        files = ServerDirectory(settings.clickhouse_dir)
        assert stat.S_IMODE(files.password.stat().st_mode) == 0o600
        assert stat.S_IMODE(files.path.stat().st_mode) == 0o700
        assert found.password == files.password.read_text().strip()
        assert found.password not in repr(found)
        record = json.loads(files.record.read_text())
        process = psutil.Process(record["pid"])
        assert found.password not in " ".join(process.cmdline()) + str(process.environ())
        shown = command(settings, "db", "url")
        assert shown.stdout == f"http://default@127.0.0.1:{found.port}\n"
        assert found.password in command(settings, "db", "url", "--show-password").stdout
        as_json = json.loads(command(settings, "db", "url", "--json").stdout)
        assert as_json["port"] == found.port and "password" not in as_json
        httpx.get(found.url, params={"query": "SELECT nope", "password": found.password})
    assert not files.record.exists()
    assert found.password not in files.log.read_text()


def test_commands_at_the_same_moment_share_one_server(settings: Settings) -> None:
    script = (
        "import time; from iot_platform.settings import Settings\n"
        "from iot_platform.clickhouse.embedded_server import running_server\n"
        "with running_server(Settings()) as found: print(found.port); time.sleep(1.5)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", script], env=environment(settings), stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    ports = {process.communicate(timeout=60)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0] * 4
    assert len(ports) == 1 and ports != {""}
    wait_for(lambda: endpoint(settings) is None, 15)


def test_the_server_stays_while_anyone_needs_it(settings: Settings) -> None:
    with running_server(settings) as first:
        other = threading.Event()
        inside = threading.Event()
        ports: list[int] = []

        def use() -> None:
            with running_server(settings) as second:
                ports.append(second.port)
                inside.set()
                other.wait(30)

        thread = threading.Thread(target=use)
        thread.start()
        assert inside.wait(30)
    # The one that started it has left; the other one still works, and the server stops after it.
    time.sleep(3)
    assert run(endpoint(settings), "SELECT 1") == "1"
    assert ports == [first.port]
    other.set()
    thread.join()
    wait_for(lambda: endpoint(settings) is None, 15)


def test_the_server_stops_when_its_user_is_killed(settings: Settings) -> None:
    script = (
        "import time; from iot_platform.settings import Settings\n"
        "from iot_platform.clickhouse.embedded_server import running_server\n"
        "with running_server(Settings()): print('in', flush=True); time.sleep(60)"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", script], env=environment(settings), stdout=subprocess.PIPE, text=True
    )
    assert user.stdout is not None and user.stdout.readline() == "in\n"
    user.kill()
    user.communicate()
    wait_for(lambda: endpoint(settings) is None, 15)


def test_a_server_started_by_hand_is_never_stopped_by_commands(settings: Settings) -> None:
    process = serve(settings)
    with running_server(settings) as found:
        assert run(found, "SELECT 1") == "1"
    time.sleep(3)
    assert process.poll() is None
    # A second server names the first and leaves it alone.
    second = command(settings, "db", "serve")
    assert second.returncode == 3
    assert re.search(
        rf"in use by the server with pid {process.pid}, running since 20\S+ at http://127.0.0.1:{found.port}\. "
        "Use that server, or stop it with: iot-platform db stop",
        second.stderr,
    )
    assert run(found, "SELECT 1") == "1"
    assert f"pid {process.pid}" in command(settings, "db", "stop").stdout
    assert process.wait(10) == 0
    assert "No server is running" in command(settings, "db", "stop").stdout
    assert command(settings, "db", "url").returncode == 1


def test_two_homes_side_by_side_and_a_taken_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        homes = [
            Settings(home=tmp_path / name, clickhouse_url=None, clickhouse_port=port) for name in ("a", "b ü%20&?x='")
        ]
        with running_server(homes[0]) as first, running_server(homes[1]) as second:
            assert len({first.port, second.port, port}) == 3
            run(first, "CREATE DATABASE only_here")
            assert run(second, "SELECT count() FROM system.databases WHERE name = 'only_here'") == "0"
        chosen = command(homes[0], "db", "serve", "--port", str(port))
        assert chosen.returncode == 1 and "Choose another --port" in chosen.stderr


def test_a_failed_start_shows_the_log(settings: Settings) -> None:
    files = ServerDirectory(settings.clickhouse_dir)
    files.path.mkdir(parents=True)
    files.data.write_text("not a directory")
    with (
        pytest.raises(ServerError, match=r"did not start \(exit code 1\)(.|\n)*The end of .*server\.log"),
        running_server(settings),
    ):
        pass
    files.data.unlink()


def test_without_the_extra_the_message_names_it(settings: Settings) -> None:
    script = "import sys; sys.modules['chdb'] = None; from iot_platform.cli import main; main(['db', 'serve'])"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(settings), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "pip install 'iot-platform[embedded]', or set IOT_CLICKHOUSE_URL" in done.stderr


def test_the_servers_environment_contains_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IOT_CRM_TOKEN", "IOT_ALERT_SMTP_URL", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "canary-secret")
    settings = Settings(home=tmp_path, clickhouse_url=None, clickhouse_port=0)
    with running_server(settings):
        record = read_record(ServerDirectory(settings.clickhouse_dir).record)
        assert record is not None
        environment = psutil.Process(record.pid).environ()
    assert environment["IOT_HOME"] == str(tmp_path)
    assert "canary-secret" not in environment.values()
