"""What a process of Dagster imports: each run starts one, so whatever is imported here delays each run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Together they take longer than Dagster itself. What needs one of them imports it when it runs.
HEAVY = {
    "aiohttp",
    "babel",
    "chdb",
    "dagster_looker",
    "fsspec",
    "graphql",
    "h3",
    "liquid",
    "looker_sdk",
    "matplotlib",
    "numpy",
    "pandas",
    "pandera",
    "plotly",
    "polars",
    "pyarrow",
    "requests",
    "rich",
    "sqlalchemy",
    "sqlglot",
    "starlette",
    "timezonefinder",
    "uvicorn",
}


def packages_after(module: str) -> set[str]:
    script = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(found.stdout.split())


def test_the_definitions_import_no_heavy_package() -> None:
    packages = packages_after("iot_platform.definitions")
    assert {"dagster", "clickhouse_connect"} <= packages
    assert not packages & HEAVY


@pytest.mark.parametrize("module", ["iot_platform.cli", "iot_platform.cli.sql"])
def test_light_commands_import_neither_dagster_nor_a_heavy_package(module: str) -> None:
    assert not packages_after(module) & (HEAVY - {"rich"} | {"dagster"})
