"""The server as a process: start, files, port, password, and a clean stop."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from iot_platform.clickhouse_embedded.directory import ServerDirectory
from iot_platform_tests.clickhouse_embedded.processes import ask, record_of, result, running, start


def test_data_outlives_a_stop_and_a_kill(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        result(tmp_path, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
        result(tmp_path, "INSERT INTO t SELECT number FROM numbers(100000)")
        result(tmp_path, "CREATE DATABASE d")
        process.terminate()
        assert process.wait(30) == 0
    assert not ServerDirectory(tmp_path).record.exists()
    with running(tmp_path) as process:
        result(tmp_path, "INSERT INTO t SELECT number FROM numbers(100000)")
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    # The record of a killed server stays behind, and names no running server.
    assert ServerDirectory(tmp_path).record.exists()
    assert record_of(tmp_path) is None
    with running(tmp_path):
        assert result(tmp_path, "SELECT count() FROM t") == "200000"
        assert result(tmp_path, "SELECT count() FROM system.databases WHERE name = 'd'") == "1"


def test_a_directory_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "server"
    old = directory / "data"
    old.mkdir(parents=True)
    for path in (tmp_path / "new", directory, old):
        path.chmod(0o755)
    umask = os.umask(0)
    try:
        with running(directory) as process:
            result(directory, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
            result(directory, "INSERT INTO t VALUES (1)")
            process.terminate()
            assert process.wait(30) == 0
    finally:
        os.umask(umask)
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in [directory, *directory.rglob("*")]}
    links = {path for path in modes if path.is_symlink()}
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077 and path not in links} == {}
    assert modes[ServerDirectory(directory).password] == 0o600


def test_it_listens_on_one_port_and_hides_the_generated_password(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        record = record_of(tmp_path)
        assert record is not None and record.pid == server.pid
        process = psutil.Process(server.pid)
        listening = [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
        assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", record.port)]
        password = ServerDirectory(tmp_path).password.read_text().strip()
        assert password not in " ".join(process.cmdline()) + str(process.environ())
        assert httpx.get(record.url, params={"query": "SELECT nope", "password": password}).status_code == 404
        server.terminate()
        output, _ = server.communicate(timeout=30)
    assert output == f"ClickHouse answers at {record.url}\n"


def test_a_chosen_password_and_host_name(tmp_path: Path) -> None:
    with running(tmp_path, "--trusted-host=Warehouse.example", CLICKHOUSE_EMBEDDED_PASSWORD="chosen"):
        assert not ServerDirectory(tmp_path).password.exists()
        assert ask(tmp_path, "SELECT 1", "chosen", Host="warehouse.example:80").text == "1\n"
        assert ask(tmp_path, "SELECT 1", "chosen", Host="other.example").status_code == 403
        refused = ask(tmp_path, "SELECT 1", "other")
        assert refused.headers["X-ClickHouse-Exception-Code"] == "516"
        assert "chosen" not in refused.text


def test_a_second_server_names_the_first_and_leaves_it_alone(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        record = record_of(tmp_path)
        assert record is not None
        second = start(tmp_path, "--port=0")
        output, _ = second.communicate(timeout=60)
        assert second.returncode == 3
        assert re.fullmatch(
            rf"Error: The data directory {tmp_path}/data is in use by the server with pid {first.pid}, running since "
            rf"20\S+ at {record.url}\. Use that server, or stop it with: kill {first.pid}\n",
            output,
        )
        assert result(tmp_path, "SELECT 1") == "1"


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = start(tmp_path, f"--port={port}")
        output, _ = refused.communicate(timeout=60)
        assert (refused.returncode, output) == (
            1,
            f"Error: Cannot listen on 127.0.0.1:{port}: Address already in use. Choose another --port.\n",
        )
        with running(tmp_path, f"--port={port}", "--any-port-if-taken"):
            record = record_of(tmp_path)
            assert record is not None and record.port != port
            assert result(tmp_path, "SELECT 1") == "1"


def test_a_warning_for_an_address_that_others_can_reach(tmp_path: Path) -> None:
    with running(tmp_path, "--host=0.0.0.0") as process:
        assert result(tmp_path, "SELECT 1") == "1"
        process.terminate()
        output, _ = process.communicate(timeout=30)
    assert "Warning: 0.0.0.0 is reachable from other machines" in output
    assert process.returncode == 0


def test_sigterm_lets_queries_finish_or_cancels_them(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        answers: dict[str, httpx.Response] = {}

        def query(name: str, sql: str) -> None:
            answers[name] = ask(tmp_path, sql)

        endless = "SELECT count() FROM numbers(1000000000000) SETTINGS max_threads = 1"
        asked = [
            threading.Thread(target=query, args=("short", "SELECT sleep(2)")),
            threading.Thread(target=query, args=("long", endless)),
        ]
        for thread in asked:
            thread.start()
        time.sleep(0.7)
        began = time.monotonic()
        process.terminate()
        assert process.wait(25) == 0
        assert time.monotonic() - began < 12
        for thread in asked:
            thread.join()
    assert answers["short"].text == "0\n"
    assert answers["long"].headers["X-ClickHouse-Exception-Code"] == "394"
    assert not ServerDirectory(tmp_path).record.exists()


@pytest.mark.parametrize("package", ["chdb", "py_landlock"])
def test_a_missing_package_is_named(tmp_path: Path, package: str) -> None:
    script = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from iot_platform.clickhouse_embedded.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--port=0", str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert f"needs the package {package}: pip install 'iot-platform[embedded]'" in done.stderr
