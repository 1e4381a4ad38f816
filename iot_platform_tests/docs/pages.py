"""Where the documents are, and which of them are generated."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from iot_platform.looker.dictionary import field_dictionary
from iot_platform.looker.project import load_project
from iot_platform_tests.docs.cli_page import cli_page
from iot_platform_tests.docs.mappings_page import mappings_page
from iot_platform_tests.docs.settings_page import settings_page

ROOT = Path(__file__).resolve().parents[2]

GENERATED: Mapping[Path, Callable[[], str]] = {
    ROOT / "docs/settings.md": settings_page,
    ROOT / "docs/cli.md": cli_page,
    ROOT / "docs/mappings.md": mappings_page,
    ROOT / "docs/field-dictionary.md": lambda: field_dictionary(load_project()),
}


@cache
def tracked_files() -> frozenset[str]:
    """Every file of the repository that is committed or about to be, as a path from its root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return frozenset(name for name in listed.stdout.splitlines() if (ROOT / name).is_file())


def documents() -> list[Path]:
    """All Markdown files of the repository."""
    return sorted(ROOT / name for name in tracked_files() if name.endswith(".md"))
