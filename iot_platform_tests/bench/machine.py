"""Description of the machine."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from clickhouse_connect.driver.client import Client

PACKAGES = ("clickhouse-connect", "dagster", "pyarrow")


def facts(client: Client) -> dict[str, Any]:
    """Cores, memory, versions, and the load of the machine at the start of the run."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "clickhouse": str(client.server_version),
        "packages": {name: version(name) for name in PACKAGES},
        "load_average": list(os.getloadavg()),
    }


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
