"""The documents as a site: copied to one folder with their places kept, so that the links stay right, then built."""

from __future__ import annotations

import shutil
import subprocess
import sys

from iot_platform_tests.docs.pages import ROOT, tracked_files

SOURCE, SITE = ROOT / "build/docs-source", ROOT / "build/docs"


def copy_sources() -> None:
    """Every document that may be published, and what it shows, under build/docs-source."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    for name in sorted(tracked_files()):
        if _is_published(name):
            target = SOURCE / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)


def build() -> int:
    """Build the site; warnings are errors. Returns the exit code."""
    copy_sources()
    return subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict"], cwd=ROOT, check=False
    ).returncode


def _is_published(name: str) -> bool:
    is_document = name.endswith(".md") and ("/" not in name or name == "looker/README.md")
    return is_document or name.startswith("docs/")
