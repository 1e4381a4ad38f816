"""CPU time of the embedded server."""

from __future__ import annotations

import sys
import time

import psutil

from iot_platform.clickhouse_embedded.directory import ServerDirectory
from iot_platform.clickhouse_embedded.record import read_record
from iot_platform.settings import Settings


class ServerCpu:
    """The CPU clock of the server of a home: all its threads, merges included. Other programs hardly change it."""

    def __init__(self, settings: Settings) -> None:
        record = read_record(ServerDirectory(settings.clickhouse_dir).record)
        assert record is not None, "the server of this home runs"
        self._process = psutil.Process(record.pid)

    def seconds(self) -> float:
        """CPU seconds since the start of the server."""
        if sys.platform == "linux":
            # The number of a process's CPU clock (see clock_getcpuclockid(3)): it counts nanoseconds, psutil hundredths
            # of a second.
            return time.clock_gettime_ns(~self._process.pid << 3 | 2) / 1e9
        times = self._process.cpu_times()
        return float(times.user + times.system)
