"""Debian's Chromium for the tests of the UI, and where their pictures go."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """A browser with further command line options. Without one installed the test is skipped, with CI set it fails."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is needed.")
        pytest.skip("No Chromium here.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*OPTIONS, *options])
        yield browser
        browser.close()


def profile_of(browser: Browser) -> BrowserContext:
    """A person's profile: pages look the same on every machine. Its pages share what they have loaded."""
    return browser.new_context(
        timezone_id="UTC", locale="en-GB", viewport={"width": 1500, "height": 950}, reduced_motion="reduce"
    )


def pictures() -> Path | None:
    """The directory for screenshots (IOT_SCREENSHOTS); None: nobody wants them."""
    directory = os.environ.get("IOT_SCREENSHOTS")
    return Path(directory) if directory else None
