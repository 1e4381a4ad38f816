"""Launches are so slow that more runs are requested than can start: nothing piles up, and nothing starves.

IOT_LAUNCH_S=60 IOT_PILE_UP_S=1200 makes it the full rehearsal; in the suite it is shorter. The runs at the end are
counted in report.txt in the test's temporary directory.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from iot_platform.defs.jobs import NIGHTLY
from iot_platform.services.instance import dagster_home
from iot_platform.services.partition_tags import DAYS_PER_RUN
from iot_platform.settings import Settings
from iot_platform_tests.e2e.commands import environment
from iot_platform_tests.e2e.running import REPOSITORY, Running, running, wait_until

LAUNCH_S = int(os.environ.get("IOT_LAUNCH_S", "6"))
PILE_UP_S = float(os.environ.get("IOT_PILE_UP_S", "75"))
FIRST_DAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1500)
WAITING = ("NOT_STARTED", "QUEUED")
REGULAR = ("ingestion_job", "refresh_metadata_job", "all_layers_job")

BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on PythonError { message } } }"""
LAUNCHER = """
run_launcher:
  module: iot_platform_tests.e2e.slow_launcher
  class: SlowRunLauncher
  config:
    seconds: {seconds}
"""


def backfill(platform: Running, days: int) -> None:
    """Launch a backfill of all layers, as the job's page does."""
    params = {
        "selector": {"partitionSetName": "all_layers_job_partition_set", "repositorySelector": REPOSITORY},
        "partitionNames": [str(FIRST_DAY + dt.timedelta(days=number)) for number in range(days)],
    }
    launched = platform.ask(BACKFILL, params=params)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched


def is_bulk(run: dict[str, list[dict[str, str]]]) -> bool:
    """Whether a run is one of a backfill or of the nightly proof."""
    return any(tag["key"] in ("dagster/backfill", NIGHTLY) for tag in run["tags"])


@pytest.mark.timeout(PILE_UP_S + 20 * LAUNCH_S + 600)
def test_a_busy_machine_neither_piles_up_runs_nor_starves_any(tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = environment(
        home,
        IOT_CLICKHOUSE_PORT="0",
        IOT_SIMULATOR_DEVICES="1",
        IOT_SIMULATOR_INTERVAL_S="60",
        IOT_FIRST_DAY=str(FIRST_DAY),
        IOT_AUTOMATION_ENABLED="true",
        # All that can be requested is requested each minute.
        IOT_INGESTION_INTERVAL_S="0",
        IOT_PROVE_TODAY_CRON="* * * * *",
        IOT_METADATA_CRON="* * * * *",
    )
    config = dagster_home(Settings(home=home)) / "dagster.yaml"
    config.write_text(config.read_text() + LAUNCHER.format(seconds=LAUNCH_S))
    with running(env, tmp_path) as platform:
        # Without metadata, a check of the first proof would fail.
        platform.wait_for_success(platform.launch("refresh_metadata_job"))
        backfill(platform, days=1500)
        deadline = time.monotonic() + PILE_UP_S
        while time.monotonic() < deadline:
            runs = platform.runs()
            waiting = Counter(run["jobName"] for run in runs if run["status"] in WAITING and not is_bulk(run))
            # One of the sensor, and one of each schedule.
            assert waiting["ingestion_job"] <= 1 and waiting["refresh_metadata_job"] <= 1, waiting
            assert waiting["all_layers_job"] <= 1, waiting
            started = [run for run in runs if run["status"] in ("STARTING", "STARTED") and is_bulk(run)]
            assert len(started) <= 2, "bulk runs leave slots to the others"
            time.sleep(1)

        def has_worked(job: str) -> bool:
            return any(run["status"] == "SUCCESS" and not is_bulk(run) for run in platform.runs(job))

        for run in filter(is_bulk, platform.runs("all_layers_job")):
            tags = {tag["key"]: tag["value"] for tag in run["tags"]}
            if NIGHTLY in tags:
                continue
            first, last = (
                dt.date.fromisoformat(tags[f"dagster/asset_partition_range_{end}"]) for end in ("start", "end")
            )
            assert (last - first).days + 1 == DAYS_PER_RUN
        for job in REGULAR:
            wait_until(lambda job=job: has_worked(job), f"{job} succeeds beside the backfill")  # type: ignore[misc]
        report = Counter((run["jobName"], is_bulk(run), run["status"]) for run in platform.runs())
        assert not any(status == "FAILURE" for _, _, status in report), report
        (tmp_path / "report.txt").write_text("\n".join(map(str, sorted(report.items()))))
