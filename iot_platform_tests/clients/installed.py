"""Clients that ``make clients`` installs. Without them their tests are skipped; in CI they fail."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

HOW = "`make clients` installs it."


def installed(name: str) -> ModuleType:
    """The module ``name``; without it the test module is skipped, or fails in CI."""
    if os.environ.get("CI"):
        return importlib.import_module(name)
    module: ModuleType = pytest.importorskip(name, reason=f"{name} is missing: {HOW}")
    return module


def dbt_command() -> str:
    """The path of dbt, which has an environment of its own; without it the test is skipped, or fails in CI."""
    path = Path(sys.prefix) / "dbt" / "bin" / "dbt"
    if not path.exists():
        missing(f"dbt is missing: {HOW}")
    return str(path)


def missing(reason: str) -> None:
    """Skip the test; fail it in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
