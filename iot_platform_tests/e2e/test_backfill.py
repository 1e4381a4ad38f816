"""A backfill over many days, as the Dagster UI launches it: it comes in runs of 100 days, and Dagster stays healthy.

IOT_BACKFILL_DAYS=3650 makes it the full rehearsal. In the suite it is shorter and backfills assets only; test_pile_up
backfills a job. Times and memory are in report.txt in the test's temporary directory.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from iot_platform.layers.catalog import DERIVED_LAYERS, RAW_TABLE
from iot_platform.services.partition_tags import DAYS_PER_RUN
from iot_platform_tests.e2e.commands import environment
from iot_platform_tests.e2e.running import REPOSITORY, Running, running, wait_until

IS_REHEARSAL = "IOT_BACKFILL_DAYS" in os.environ
DAYS = int(os.environ.get("IOT_BACKFILL_DAYS", "110"))
TIMEOUT_S = 120 + 30 * DAYS
FIRST_DAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=DAYS)
LAST_DAY = FIRST_DAY + dt.timedelta(days=DAYS - 1)
ASSETS = [RAW_TABLE, *(layer.name for layer in DERIVED_LAYERS)]

LAUNCH = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on PythonError { message } } }"""
BACKFILL = "{ partitionBackfillsOrError(limit: 1) { ... on PartitionBackfills { results { status numPartitions } } } }"
DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
# What the page of an asset asks for.
PARTITIONS = """query($keys: [AssetKeyInput!]) { assetNodes(assetKeys: $keys) {
  assetKey { path } assetPartitionStatuses { ... on TimePartitionStatuses { ranges { startKey endKey status } } } } }"""
SELECTIONS: dict[str, dict[str, Any]] = {
    "assets": {"assetSelection": [{"path": [name]} for name in ASSETS]},
    "job": {"selector": {"partitionSetName": "all_layers_job_partition_set", "repositorySelector": REPOSITORY}},
}


class Memory:
    """The largest resident size of each kind of process of a home."""

    def __init__(self, home: Path) -> None:
        self._home = str(home)
        self.peaks_MB: dict[str, int] = {}

    def sample(self) -> None:
        """Look at all processes of the home."""
        kinds = {"dagster._daemon": "daemon", "webserver": "webserver", "api grpc": "code server", "spawn_main": "run"}
        for process in psutil.process_iter():
            try:
                if process.environ().get("IOT_HOME") != self._home:
                    continue
                command = " ".join(process.cmdline())
                size_MB = process.memory_info().rss // 2**20
            except (psutil.AccessDenied, psutil.NoSuchProcess):
                continue
            for part, kind in kinds.items():
                if part in command:
                    self.peaks_MB[kind] = max(self.peaks_MB.get(kind, 0), size_MB)


def partition_ranges(platform: Running) -> dict[str, list[tuple[str, str, str]]]:
    """The ranges of days of each asset with their status."""
    nodes = platform.ask(PARTITIONS, keys=[{"path": [name]} for name in ASSETS])["assetNodes"]
    return {
        node["assetKey"]["path"][0]: [
            (found["startKey"], found["endKey"], found["status"]) for found in node["assetPartitionStatuses"]["ranges"]
        ]
        for node in nodes
    }


@pytest.mark.timeout(TIMEOUT_S + 600)
@pytest.mark.parametrize("selection", SELECTIONS if IS_REHEARSAL else ["assets"])
def test_a_long_backfill_finishes_in_runs_of_bounded_size(tmp_path: Path, selection: str) -> None:
    env = environment(
        tmp_path / "home",
        IOT_CLICKHOUSE_PORT="0",
        IOT_SIMULATOR_DEVICES="1",
        IOT_SIMULATOR_INTERVAL_S="3600",
        IOT_FIRST_DAY=str(FIRST_DAY),
    )
    with running(env, tmp_path) as platform:
        platform.wait_for_success(platform.launch("refresh_metadata_job"))
        started = time.monotonic()
        keys = [str(FIRST_DAY + dt.timedelta(days=number)) for number in range(DAYS)]
        launched = platform.ask(LAUNCH, params={"partitionNames": keys, **SELECTIONS[selection]})
        assert launched["launchPartitionBackfill"]["__typename"] == "LaunchBackfillSuccess", launched
        memory, slowest_page_s = Memory(tmp_path / "home"), 0.0
        while True:
            [backfill] = platform.ask(BACKFILL)["partitionBackfillsOrError"]["results"]
            if backfill["status"] not in ("REQUESTED", "IN_PROGRESS"):
                break
            assert time.monotonic() - started < TIMEOUT_S, platform.runs()[:3]
            statuses = platform.ask(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
            assert all(status["healthy"] for status in statuses if status["required"]), statuses
            asked = time.monotonic()
            partition_ranges(platform)
            slowest_page_s = max(slowest_page_s, time.monotonic() - asked)
            memory.sample()
            time.sleep(2)
        assert backfill == {"status": "COMPLETED_SUCCESS", "numPartitions": DAYS}
        # The asset pages show each day as materialized, at the latest after a tick of day_status_sensor.
        complete = dict.fromkeys(ASSETS, [(str(FIRST_DAY), str(LAST_DAY), "MATERIALIZED")])
        wait_until(lambda: partition_ranges(platform) == complete, "all days of all assets", timeout_s=240)
        runs = [run for run in platform.runs() if any(tag["key"] == "dagster/backfill" for tag in run["tags"])]
        assert len(runs) == -(-DAYS // DAYS_PER_RUN)
        report = f"{DAYS} days: {time.monotonic() - started:.0f} s, slowest page {slowest_page_s:.2f} s"
        (tmp_path / "report.txt").write_text(f"{report}, peak memory in MB {memory.peaks_MB}\n")
