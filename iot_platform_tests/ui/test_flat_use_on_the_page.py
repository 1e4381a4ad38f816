"""The page shows flat use in five time zones as bars of one height, and says what they leave out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client
from playwright.sync_api import Page, expect

from iot_platform_tests.looker import flat_use
from iot_platform_tests.ui.browser import chromium, pictures, profile_of
from iot_platform_tests.ui.dashboard_platform import Platform, served_dashboard
from iot_platform_tests.ui.dashboard_ui import DashboardUI

HOURS, WEEKDAYS = "usage_by_hour_of_day", "usage_by_day_of_week"
# Over a change of the clock of Lord Howe, London and New York.
PERIOD = "f.period=2025/10/01+to+2025/11/10"


def fill(client: Client) -> None:
    """Some weeks around the changes of the clocks, and the days until now."""
    flat_use.insert_meters(client)
    flat_use.insert_use(client, dt.datetime(2025, 9, 29, tzinfo=dt.UTC), dt.datetime(2025, 11, 12, tzinfo=dt.UTC))
    now = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
    flat_use.insert_use(client, now.replace(hour=0, minute=0) - dt.timedelta(days=10), now)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with served_dashboard(tmp_path_factory.mktemp("flat") / "home", fill) as found:
        yield found


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium() as browser:
        yield profile_of(browser).new_page()


def heights(ui: DashboardUI, tile: str) -> list[float]:
    """The heights of a tile's bars in pixels."""
    bars = ui.tile(tile).locator(".bars .point path")
    boxes = [bar.bounding_box() for bar in bars.all()]
    return [box["height"] for box in boxes if box]


@pytest.mark.parametrize(
    ("query", "value"),
    [
        (PERIOD, "30"),  # the mart by type
        (f"{PERIOD}&f.building_type=office", "10"),
        (f"{PERIOD}&f.customer=C-Kolkata,C-Lord^_Howe", "10"),  # the mart by hour
        (f"{PERIOD}&f.device={flat_use.HOURLY_DEVICE}", "5"),
        ("f.period=7+day", "30"),  # with the day and the hour that are filling
    ],
)
def test_the_bars_are_of_one_height(platform: Platform, page: Page, query: str, value: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 1000})
    ui = DashboardUI(page, platform.url, pictures())
    ui.open(f"?{query}")
    # Of the last seven days, one or two are not over in all time zones.
    for tile, counts in ((HOURS, {24}), (WEEKDAYS, {5, 6} if "day" in query else {7})):
        found = heights(ui, tile)
        assert len(found) in counts
        assert max(found) - min(found) < 1 and min(found) > 20
        ui.tile(tile).get_by_role("button", name="Table").click()
        assert {row[-1].removesuffix(" kWh") for row in ui.rows(tile)} == {f"{value}.0"}


@pytest.mark.parametrize("width", [1440, 1000, 420])
def test_the_tiles_say_what_they_leave_out(platform: Platform, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 1000})
    ui = DashboardUI(page, platform.url, pictures())
    ui.open(f"?{PERIOD}")
    for tile in (HOURS, WEEKDAYS):
        caption = ui.tile(tile).locator(".caption")
        expect(caption).to_contain_text("left out")
        assert caption.evaluate("caption => caption.scrollHeight <= caption.clientHeight"), "the text is cut"
    ui.picture(f"flat-{width}")
