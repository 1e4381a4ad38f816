"""What a person does on the dashboard, as functions of a page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from playwright.sync_api import Locator, Page, expect

TIMEOUT_MS = 20_000
SETTLED = """() => {
  const tiles = [...document.querySelectorAll(".tile")];
  const settled = (tile) => ["ready", "empty"].includes(tile.dataset.state) && !tile.hasAttribute("aria-busy");
  return tiles.length > 0 && tiles.every(settled);
}"""


@dataclass
class DashboardUI:
    """A page of the dashboard at ``url``; pictures go to ``pictures`` when somebody wants them."""

    page: Page
    url: str
    pictures: Path | None = None

    def open(self, query: str = "") -> None:
        """Open the dashboard and wait until all tiles are drawn."""
        self.page.goto(f"{self.url}/{query}", timeout=TIMEOUT_MS)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until every tile shows its data and none is read again."""
        self.page.wait_for_function(SETTLED, timeout=TIMEOUT_MS)

    def tile(self, name: str) -> Locator:
        """The card of a tile."""
        return self.page.locator(f"#tile-{name}")

    def value(self, name: str) -> str:
        """The number of a tile with a single value, with its unit, not abbreviated."""
        return self.tile(name).locator(".value").get_attribute("title", timeout=TIMEOUT_MS) or ""

    def expect_value(self, name: str, other_than: str, timeout_ms: float = TIMEOUT_MS) -> str:
        """Wait until a single value is another one."""
        expect(self.tile(name).locator(".value")).not_to_have_attribute("title", other_than, timeout=timeout_ms)
        self.wait_until_ready()
        return self.value(name)

    def choose(self, filter_: str, value: str) -> None:
        """Tick a value in a filter's list."""
        self.page.get_by_text(filter_, exact=True).first.click()
        self.page.get_by_label(value, exact=True).check()
        self.page.keyboard.press("Escape")

    def click_bar(self, name: str, position: int) -> None:
        """Click a bar of a chart; they count from the bottom or the left."""
        self.click_mark(self.tile(name).locator(".bars .point path").nth(position))

    def click_mark(self, mark: Locator) -> None:
        """Click a bar or circle: Plotly finds it by the position of the mouse."""
        mark.scroll_into_view_if_needed()
        box = mark.bounding_box()
        assert box is not None
        at = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.page.mouse.move(*at)
        self.page.mouse.click(*at)

    def state(self) -> dict[str, str]:
        """The parameters of the page's address."""
        return dict(parse_qsl(urlsplit(self.page.url).query))

    def rows(self, name: str) -> list[list[str]]:
        """The rows of a tile that is shown as a table."""
        rows = self.tile(name).locator("tbody tr")
        return [[re.sub(r"\s+", " ", cell) for cell in row.locator("th, td").all_inner_texts()] for row in rows.all()]

    def picture(self, name: str, full_page: bool = True) -> None:
        """Take a screenshot, when they are wanted."""
        if self.pictures is not None:
            self.page.wait_for_timeout(1500)
            self.page.screenshot(path=self.pictures / f"{name}.png", full_page=full_page)
