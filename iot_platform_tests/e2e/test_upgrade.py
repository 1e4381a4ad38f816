"""A home of the version before is migrated by the command: as a user sees it, and killed again and again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from iot_platform.clickhouse.client import connect
from iot_platform.clickhouse.embedded_server import running_server
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.write_pause import wait_while_paused
from iot_platform.clickhouse_embedded.directory import ServerDirectory
from iot_platform.clickhouse_embedded.record import read_record
from iot_platform.errors import PlatformError
from iot_platform.settings import Settings
from iot_platform_tests.e2e.commands import environment, iot_platform
from iot_platform_tests.e2e.old_home import SOURCE, make_old_home
from iot_platform_tests.layers.old_schema import assert_equal_to_a_new_one, hard_readings, prove_old, write

BATCHES = 3
# Each is true from some moment of the migration on: then it is killed.
MOMENTS = {
    "first table": "EXISTS TABLE device_metadata_versions",
    "filling begins": "SELECT count() > 0 FROM device_metadata_versions",
    "within a rebuild": "SELECT count() > 0 FROM system.tables WHERE database = currentDatabase() "
    "AND name LIKE 'staging_l3_power_by_version%'",
    "some days filled": "SELECT count() > 0 FROM partition_proofs WHERE run_id LIKE 'filling %'",
    "hours filled": "SELECT count() > 0 FROM partition_proofs "
    "WHERE run_id LIKE 'filling %' AND layer = 'l4_power_agg_hourly'",
    "old views end": "SELECT count() = 0 FROM system.tables WHERE database = currentDatabase() "
    "AND name = 'mv_l3_to_l4_by_device'",
    "first name": "SELECT engine = 'View' FROM system.tables WHERE database = currentDatabase() "
    "AND name = 'l3_power_joined'",
    "last name": "SELECT engine = 'View' FROM system.tables WHERE database = currentDatabase() "
    "AND name = 'l4_power_by_device_daily'",
    "switched": "SELECT count() > 0 FROM schema_migrations WHERE name = '093_views_over_versions.sql'",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_old_home(tmp_path / "home", BATCHES)
    return tmp_path / "home"


def test_what_a_user_sees(home: Path) -> None:
    env = environment(home, IOT_CLICKHOUSE_PORT="0")
    for command in (["up", "--no-dashboard", "--port", "0"], ["status"], ["prove"], ["simulate"]):
        said = iot_platform(env, *command, exit_code=1)
        assert "Run `iot-platform migrate`" in said and "Traceback" not in said
    said = iot_platform(env, "migrate", "--plan")
    assert "To be applied: 090_metadata_versions.sql, " in said
    assert "12 days with" in said and "2026-03-26 to 2026-04-06" in said and "less than two minutes" in said
    planned = json.loads(iot_platform(env, "migrate", "--plan", "--json"))
    assert len(planned["days"]) == 12 and planned["readings"] > 10_000 and planned["own_objects"] == []
    assert 0 < planned["bytes"] < planned["free_bytes"] and planned["seconds"] < 60
    assert json.loads(iot_platform(env, "migrate", "--json"))["applied"] == planned["pending"]
    assert iot_platform(env, "migrate", "--plan") == "To be applied: nothing. The schema is up to date.\n"
    assert iot_platform(env, "migrate") == "The schema is up to date.\n"
    summary = json.loads(iot_platform(env, "status", "--json"))
    assert all(not layer["unproved"] for name, layer in summary["layers"].items() if name != "l1_power_raw")
    assert json.loads(iot_platform(env, "prove", "--json"))["proofs"] == []


class OldVersion:
    """What goes on meanwhile: the writer of the version before, and its proofs until the switch."""

    def __init__(self, endpoint: Endpoint, settings: Settings) -> None:
        self._endpoint, self._settings = endpoint, settings
        self._stop = threading.Event()
        self.errors: list[str] = []
        self.batches = BATCHES
        self._threads = [threading.Thread(target=self._write), threading.Thread(target=self._prove)]

    def __enter__(self) -> OldVersion:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        with connect(self._endpoint, self._settings) as client:
            try:
                while not self._stop.wait(0.5):
                    wait_while_paused(client)
                    write(client, SOURCE, self.batches, hard_readings(self.batches, rows=2000))
                    self.batches += 1
            except ClickHouseError as error:
                self.errors.append(str(error))

    def _prove(self) -> None:
        # The switch ends its views and tables.
        with (
            connect(self._endpoint, self._settings) as client,
            contextlib.suppress(ClickHouseError, PlatformError),
        ):
            while not self._stop.wait(1):
                prove_old(client, only_unverified=True)


def is_true(client: Client, moment: str) -> bool:
    """Whether a moment has come; not before what it asks of exists."""
    try:
        return bool(int(str(client.command(MOMENTS[moment]) or 0)))
    except ClickHouseError:
        return False


@contextlib.contextmanager
def migrating(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``iot-platform migrate`` as a process, which is killed at the end."""
    env = environment(home, IOT_CLICKHOUSE_PORT="0")
    command = [sys.executable, "-m", "iot_platform", "migrate"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.timeout(900)
def test_it_continues_whenever_it_is_killed(home: Path) -> None:
    settings = Settings(home=home, clickhouse_url=None, clickhouse_port=0)
    killed = []
    with running_server(settings) as endpoint, connect(endpoint, settings) as client:
        with OldVersion(endpoint, settings) as old_version:
            for moment in MOMENTS:
                with migrating(home) as process:
                    while process.poll() is None and not is_true(client, moment):
                        time.sleep(0.002)
                    if process.poll() is None:
                        killed.append(moment)
                    else:
                        assert process.returncode == 0
            iot_platform(environment(home), "migrate")
        assert old_version.errors == []
        assert len(killed) >= 5, killed
        ranges = client.query("SELECT count(), sum(readings) FROM ingestion_ledger FINAL WHERE state = 'committed'")
        [[count, readings]] = ranges.result_rows
        [[in_l1]] = client.query("SELECT count() FROM l1_power_raw").result_rows
        assert (count, readings) == (old_version.batches, in_l1)
        left = "SELECT name FROM system.tables WHERE database = currentDatabase() AND match(name, '^(staging|lock)_')"
        assert_equal_to_a_new_one(client, endpoint)
        assert client.query(left).result_rows == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("moment", ["some days filled", "old views end"])
def test_it_continues_when_it_was_killed_with_its_server(home: Path, moment: str) -> None:
    settings = Settings(home=home, clickhouse_url=None, clickhouse_port=0)
    with migrating(home) as process:
        record = None
        while process.poll() is None and record is None:
            record = read_record(ServerDirectory(settings.clickhouse_dir).record)
            time.sleep(0.01)
        assert record is not None
        with running_server(settings) as endpoint, connect(endpoint, settings) as client:
            while process.poll() is None and not is_true(client, moment):
                time.sleep(0.002)
            assert process.poll() is None
            os.kill(record.pid, signal.SIGKILL)
    iot_platform(environment(home, IOT_CLICKHOUSE_PORT="0"), "migrate")
    with running_server(settings) as endpoint, connect(endpoint, settings) as client:
        assert_equal_to_a_new_one(client, endpoint)
