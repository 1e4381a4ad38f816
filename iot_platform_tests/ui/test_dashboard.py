"""The dashboard as people use it. With IOT_SCREENSHOTS=DIRECTORY it leaves the pictures of docs/ there."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from clickhouse_connect.driver.client import Client
from playwright.sync_api import BrowserContext, ConsoleMessage, Request, ViewportSize, expect

from iot_platform.clickhouse.session import migrated_session
from iot_platform_tests.dashboard.dashboard_data import TYPES, insert_days, insert_meters
from iot_platform_tests.ui.browser import chromium, pictures, profile_of
from iot_platform_tests.ui.dashboard_platform import Platform, served_dashboard
from iot_platform_tests.ui.dashboard_ui import TIMEOUT_MS, DashboardUI

NEW_READING_MS = 5_000
PHONE = {"width": 420, "height": 900}


def fill(client: Client) -> None:
    insert_meters(client)
    insert_days(client, dt.datetime.now(dt.UTC))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with served_dashboard(tmp_path_factory.mktemp("dashboard") / "home", fill) as found:
        yield found


@pytest.fixture(scope="module")
def profile() -> Iterator[BrowserContext]:
    with chromium() as browser:
        yield profile_of(browser)


@dataclass
class Seen:
    """What no page may do: ask another host, or complain."""

    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def request(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.hosts.add(request.url.split("/")[2])

    def message(self, message: ConsoleMessage) -> None:
        # Chromium reports each answer with an error code; the tests of errors make those.
        if message.type in ("error", "warning") and "the server responded with a status of" not in message.text:
            self.complaints.append(message.text)


@pytest.fixture
def ui(platform: Platform, profile: BrowserContext, request: pytest.FixtureRequest) -> Iterator[DashboardUI]:
    """A new page; at the end it has asked no other host and complained of nothing."""
    page = profile.new_page()
    default = ViewportSize(width=1440, height=1000)
    page.set_viewport_size(getattr(request, "param", default))
    seen = Seen()
    page.on("request", seen.request)
    page.on("console", seen.message)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    yield DashboardUI(page, platform.url, pictures())
    page.close()
    assert seen.complaints == []
    assert seen.hosts <= {platform.url.removeprefix("http://")}


def test_all_tiles_show_the_data(ui: DashboardUI, platform: Platform) -> None:
    ui.open()
    with migrated_session(platform.settings) as client:
        [[total, meters]] = client.query(
            "SELECT toFloat64(sum(total_kWh)), uniqExact(device_id) FROM l4_power_by_device_daily"
        ).result_rows
    assert ui.value("total") == f"{total:,.1f} kWh" and ui.value("meters") == str(meters)
    expect(ui.tile("building_types").locator(".bars .point")).to_have_count(len(TYPES))
    expect(ui.tile("top_devices").locator(".bars .point")).to_have_count(10)
    assert ui.tile("map").locator(".points path").count() >= len(TYPES)
    assert ui.page.locator(".banner:visible, .cut:visible").count() == 0
    ui.picture("dashboard-full")


def test_a_filter_is_undone_by_back_and_kept_by_reload(ui: DashboardUI) -> None:
    ui.open()
    everything = ui.value("total")
    ui.choose("Building type", "office")
    offices = ui.expect_value("total", everything)
    assert ui.state() == {"f.building_type": "office"}
    ui.page.get_by_label("Period", exact=True).select_option("7 day")
    week = ui.expect_value("total", offices)
    ui.page.reload()
    ui.wait_until_ready()
    assert ui.value("total") == week
    ui.page.go_back()
    assert ui.expect_value("total", week) == offices
    ui.page.go_back()
    assert ui.expect_value("total", offices) == everything and ui.state() == {}
    ui.page.go_forward()
    assert ui.expect_value("total", everything) == offices


def test_a_period_of_days_is_chosen(ui: DashboardUI) -> None:
    ui.open()
    everything = ui.value("total")
    day = (dt.datetime.now(dt.UTC) - dt.timedelta(days=3)).date()
    ui.page.get_by_label("Period", exact=True).select_option("From … to …")
    ui.page.get_by_label("Period: first day").fill(day.isoformat())
    ui.page.get_by_label("Period: last day").fill(day.isoformat())
    ui.expect_value("total", everything)
    assert ui.state()["f.period"] == f"{day:%Y/%m/%d} to {day + dt.timedelta(days=1):%Y/%m/%d}"
    ui.tile("usage_over_time").get_by_role("button", name="Table").click()
    assert len({row[0] for row in ui.rows("usage_over_time")}) == 24


def test_a_click_on_a_bar_filters_every_other_tile(ui: DashboardUI) -> None:
    ui.open()
    everything = ui.value("total")
    ui.click_bar("building_types", 0)
    ui.expect_value("total", everything)
    chip = ui.page.get_by_role("group", name="Cross-filters").get_by_role("button")
    expect(chip).to_have_count(1)
    assert ui.state()["from"] == "building_types"
    expect(ui.tile("building_types").locator(".bars .point")).to_have_count(len(TYPES))
    filtered = ui.value("total")
    ui.page.reload()
    ui.wait_until_ready()
    assert ui.value("total") == filtered
    ui.page.keyboard.press("Escape")
    assert ui.expect_value("total", filtered) == everything
    expect(chip).to_have_count(0)


def test_a_click_on_a_circle_filters(ui: DashboardUI) -> None:
    ui.open()
    everything = ui.value("total")
    ui.click_mark(ui.tile("map").locator(".points path").last)
    ui.expect_value("total", everything)
    assert ui.state()["from"] == "map"


def test_by_keyboard_alone(ui: DashboardUI) -> None:
    ui.open()
    everything = ui.value("total")
    press = ui.page.keyboard.press
    press("Tab")
    expect(ui.page.locator(":focus")).to_have_text("Skip to the charts")
    press("Enter")
    for _ in range(60):
        press("Tab")
        if ui.page.evaluate("document.activeElement.textContent") == "Table of Building types compared":
            break
    press("Enter")
    for _ in range(3):  # SQL, the table's own scrolling, its first row
        press("Tab")
    press("Enter")
    ui.expect_value("total", everything)
    expect(ui.page.locator("#announcer")).to_contain_text("All charts show building type")
    expect(ui.page.locator(":focus")).to_have_attribute("aria-pressed", "true")
    filtered = ui.value("total")
    press("Escape")
    assert ui.expect_value("total", filtered) == everything
    ui.page.get_by_role("button", name="SQL of Usage over time").focus()
    press("Enter")
    dialog = ui.page.get_by_role("dialog")
    expect(dialog).to_contain_text("SELECT")
    expect(dialog).to_contain_text("l4_power_by_building_type_hourly")
    press("Escape")
    expect(dialog).to_be_hidden()


def test_an_invalid_expression_is_reported_on_the_tile(ui: DashboardUI) -> None:
    ui.page.goto(f"{ui.url}/?f.period=next+full+moon")
    expect(ui.tile("total").locator(".banner")).to_contain_text("full moon", timeout=TIMEOUT_MS)


def test_an_empty_result_is_reported(ui: DashboardUI) -> None:
    ui.open("?f.customer=nobody")
    expect(ui.tile("usage_over_time")).to_contain_text("No readings match these filters.")


def test_new_readings_show_within_seconds(ui: DashboardUI, platform: Platform) -> None:
    ui.open()
    before = ui.value("total")
    platform.insert_reading(17.5)
    after = ui.expect_value("total", before, NEW_READING_MS)
    assert float(re.sub(r"[^\d.]", "", after)) == pytest.approx(float(re.sub(r"[^\d.]", "", before)) + 17.5, abs=0.11)


def test_an_outage_is_shown_on_the_tiles_which_recover_by_themselves(ui: DashboardUI, platform: Platform) -> None:
    ui.open()
    value = ui.value("total")
    platform.stop("clickhouse")
    tile = ui.tile("building_types")
    expect(tile.locator(".banner")).to_contain_text("ClickHouse", timeout=TIMEOUT_MS)
    expect(tile.locator(".banner")).to_contain_text("Showing data from")
    expect(ui.page.locator("#status")).to_contain_text("Unreachable since")
    assert tile.locator(".bars .point").count() == len(TYPES) and ui.value("total") == value
    platform.start_clickhouse()
    expect(ui.page.locator(".banner:visible")).to_have_count(0, timeout=TIMEOUT_MS)
    expect(ui.page.locator("#status")).to_contain_text("Live")
    ui.wait_until_ready()
    assert ui.value("total") == value


@pytest.mark.parametrize("ui", [PHONE], indirect=True)
def test_a_phone_needs_no_sideways_scroll(ui: DashboardUI) -> None:
    ui.open()
    assert ui.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    ui.picture("dashboard-phone")


def test_the_dark_theme_is_kept_in_the_address(ui: DashboardUI) -> None:
    ui.open("?theme=dark")
    assert ui.page.evaluate("document.documentElement.dataset.theme") == "dark"
    ui.picture("dashboard-dark")
    ui.page.get_by_role("button", name="Dark").click()
    assert ui.page.evaluate("document.documentElement.dataset.theme") == "light"
    assert ui.state() == {"theme": "light"}


def test_the_map_zooms_into_a_city(ui: DashboardUI) -> None:
    ui.open()
    tile = ui.tile("map")
    scale = tile.locator(".annotation-text")
    world = scale.text_content() or ""
    tile.get_by_role("button", name="Zoom to the next city").click()
    expect(scale).not_to_have_text(world)
    city = scale.text_content() or ""
    tile.scroll_into_view_if_needed()
    ui.picture("dashboard-map", full_page=False)
    tile.locator(".chart").hover()
    for _ in range(14):  # Plotly zooms by a tenth for each turn of the wheel
        ui.page.mouse.wheel(0, -240)
    expect(scale).not_to_have_text(city)
    tile.get_by_role("button", name="Show all places").click()
    expect(scale).to_have_text(world)
