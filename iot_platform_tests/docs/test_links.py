"""Every link in the documents leads somewhere."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest

from iot_platform.definitions import defs
from iot_platform_tests.docs import site
from iot_platform_tests.docs.markdown import read
from iot_platform_tests.docs.pages import ROOT, documents, tracked_files


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_anchors_exist(path: Path) -> None:
    broken = []
    for link in read(path).links:
        if link.text.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = unquote(link.text).partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.is_relative_to(ROOT) or str(target.relative_to(ROOT)) not in tracked_files():
            broken.append(f"line {link.line}: {link.text}: there is no such file")
        elif anchor and anchor not in read(target).anchors:
            broken.append(f"line {link.line}: {link.text}: there is no such heading")
    assert broken == []


def test_the_guide_has_a_section_for_each_asset() -> None:
    graph = defs.resolve_asset_graph()
    tables = {key.to_user_string() for key in graph.materializable_asset_keys}
    missing = tables - read(ROOT / "docs/operators-guide.md").anchors
    assert missing == set(), "Add a section with this name under Assets in docs/operators-guide.md."


def test_the_site_builds_without_a_warning() -> None:
    assert site.build() == 0
    assert (site.SITE / "index.html").is_file() and (site.SITE / "docs/settings/index.html").is_file()
