"""Materialize all assets in Dagster's storage, without its daemon: the first step of the demo."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from iot_platform.errors import PlatformError
from iot_platform.security.child_environment import python_environment
from iot_platform.services.dagster import CODE
from iot_platform.services.partition_tags import DAYS_PER_RUN, range_tags
from iot_platform.services.process import end_of

RUN_TIMEOUT_S = 3600


def refresh_metadata(env: Mapping[str, str], log: Path) -> None:
    """Materialize the device metadata. Raises PlatformError when the run fails."""
    _execute("refresh_metadata_job", {}, env, log)


def materialize_layers(first: dt.date, last: dt.date, env: Mapping[str, str], log: Path) -> Iterator[int]:
    """Materialize all layers of the days ``first`` .. ``last`` in runs of DAYS_PER_RUN, the oldest first.

    Yields after each run how many days are done. Raises PlatformError when a run fails.
    """
    days = (last - first).days + 1
    for done in range(0, days, DAYS_PER_RUN):
        count = min(DAYS_PER_RUN, days - done)
        start = first + dt.timedelta(days=done)
        _execute("all_layers_job", range_tags(start, start + dt.timedelta(days=count - 1)), env, log)
        yield done + count


def _execute(job: str, tags: Mapping[str, str], env: Mapping[str, str], log: Path) -> None:
    command = [sys.executable, "-m", "dagster", "job", "execute", *CODE, "-j", job, "--tags", json.dumps(tags)]
    with log.open("ab") as output:
        try:
            code = subprocess.run(
                command,
                env=python_environment(env),
                cwd=env["DAGSTER_HOME"],
                stdout=output,
                stderr=output,
                timeout=RUN_TIMEOUT_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise PlatformError(f"{job} did not end within {RUN_TIMEOUT_S} s and was stopped. Log: {log}") from error
    if code:
        raise PlatformError(f"{job} failed (exit code {code}). The end of {log}:\n{end_of(log)}")
