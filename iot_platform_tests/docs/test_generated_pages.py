"""The generated pages are up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from iot_platform.settings import Settings
from iot_platform_tests.docs.pages import GENERATED
from iot_platform_tests.docs.settings_page import SECTIONS


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_the_page_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == GENERATED[path](), f"{path.name} is out of date: run `make docs`."


def test_the_sections_of_the_settings_name_settings() -> None:
    assert [*SECTIONS] == [name for name in Settings.model_fields if name in SECTIONS]


def test_every_setting_is_listed_once() -> None:
    page = next(page() for path, page in GENERATED.items() if path.name == "settings.md")
    assert [page.count(f"| `IOT_{name.upper()}` |") for name in Settings.model_fields] == [1] * len(
        Settings.model_fields
    )
