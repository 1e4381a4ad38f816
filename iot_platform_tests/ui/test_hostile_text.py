"""Hostile texts in every text of the metadata and of a file of readings, looked at in Dagster and on the dashboard."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Request

from iot_platform_tests.e2e.commands import environment, iot_platform
from iot_platform_tests.e2e.running import Running, running
from iot_platform_tests.security.hostile import HOST, HOSTILE
from iot_platform_tests.ui.browser import chromium, pictures, profile_of
from iot_platform_tests.ui.dagster_ui import TIMEOUT_MS, DagsterUI
from iot_platform_tests.ui.dashboard_ui import DashboardUI

DAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
LAYERS = (
    "l1_power_raw",
    "l2_power_cleaned",
    "power_quarantine",
    "l3_power_joined",
    "l4_power_agg_hourly",
    "l4_power_by_building_type_hourly",
    "l4_power_by_device_daily",
)
PICTURES = {
    "power_quarantine": "rejects_by_reason",
    "l3_power_joined": "enrichment_by_building_type",
    "l4_power_agg_hourly": "usage_of_the_day",
}
# What the text of a page must not have become. (Links to code and guides are the platform's own.)
MADE_OF_DATA = f"""() => [...document.querySelectorAll("a, img, script, iframe, image, [onerror]")]
  .filter((element) => element.outerHTML.includes("{HOST}") || element.hasAttribute("onerror"))
  .map((element) => element.outerHTML)"""


def write_devices(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["device_id", "customer_id", "building_type", "latitude", "longitude"])
        for number, text in enumerate(HOSTILE):
            writer.writerow([f"{text} {number}", text, text, 51 + number / 100, number / 100])


def write_readings(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp", "device_id", "kWh"])
        for number, text in enumerate(HOSTILE):
            for hour in range(24):
                writer.writerow([f"{DAY}T{hour:02d}:00:00Z", f"{text} {number}", 1 + number / 10])
            # No readings: a text where a number belongs, and one over the limit.
            writer.writerow([f"{DAY}T12:30:00Z", f"{text} {number}", text])
            writer.writerow([f"{DAY}T13:30:00Z", f"{text} {number}", 5000])


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("hostile")
    write_devices(directory / "devices.csv")
    write_readings(directory / "readings.csv")
    env = environment(
        directory / "home",
        IOT_CLICKHOUSE_PORT="0",
        IOT_SIMULATOR_ENABLED="false",
        IOT_FIRST_DAY=str(DAY),
        IOT_DEVICES_CSV=str(directory / "devices.csv"),
    )
    with running(env, directory, with_dashboard=True) as found:
        iot_platform(env, "load", "devices", str(directory / "devices.csv"))
        iot_platform(env, "load", "readings", "--device-ids", "external", str(directory / "readings.csv"))
        yield found


@dataclass
class Seen:
    """Requests of a page, by host, and what it complained of."""

    hosts: set[str] = field(default_factory=set)

    def request(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.hosts.add(request.url.split("/")[2])


@pytest.fixture(scope="module")
def profile() -> Iterator[BrowserContext]:
    with chromium() as browser:
        yield profile_of(browser)


@pytest.fixture
def page(profile: BrowserContext, platform: Running) -> Iterator[Page]:
    """A page that, when a test ends, has asked no other host and runs no script of the data."""
    page = profile.new_page()
    seen = Seen()
    page.on("request", seen.request)
    yield page
    hosts = {url.removeprefix("http://") for url in (platform.url, platform.dashboard_url)}
    page.close()
    assert seen.hosts <= hosts


def assert_harmless(page: Page) -> None:
    assert page.evaluate(MADE_OF_DATA) == []
    assert page.evaluate("window.hostile") is None


def markdown_shown(page: Page) -> str:
    """Open all Markdown of a page that is too long to stand on it, one after the other; the texts, and the page's."""
    buttons = page.get_by_text("[Show Markdown]")
    texts = [page.locator("body").inner_text()]
    for button in buttons.all():
        button.click()
        dialog = page.locator("[role=dialog], .bp5-dialog, .bp4-dialog").last
        dialog.wait_for(timeout=TIMEOUT_MS)
        page.wait_for_timeout(300)
        assert_harmless(page)
        texts.append(dialog.inner_text())
        page.keyboard.press("Escape")
        dialog.wait_for(state="hidden", timeout=TIMEOUT_MS)
    return "\n".join(texts)


def test_every_layer_is_materialized_and_has_its_picture(page: Page, platform: Running) -> None:
    ui = DagsterUI(page, platform.url)
    for asset in ("device_metadata", *LAYERS):
        known = ui.known_runs()
        ui.materialize(asset, "" if asset == "device_metadata" else str(DAY))
        assert ui.wait_for_run(known) == "SUCCESS", asset
    for asset, name in PICTURES.items():
        ui.open(f"/assets/{asset}?view=partitions&partition={DAY}", name)
        assert_harmless(page)
    assert "could not be made" not in (platform.home / "logs" / "code-location.log").read_text(errors="replace")


@pytest.mark.parametrize("asset", LAYERS)
def test_the_metadata_of_a_layer_is_literal(page: Page, platform: Running, asset: str) -> None:
    DagsterUI(page, platform.url).open(f"/assets/{asset}?view=partitions&partition={DAY}", "preview")
    assert_harmless(page)
    text = markdown_shown(page)
    if asset.startswith(("l3", "l4")):
        assert f"![p](http://{HOST}/p.png)" in text


def test_the_changes_of_the_metadata_are_literal(page: Page, platform: Running) -> None:
    with (platform.home.parent / "devices.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    for row in rows[1:]:
        row[1] += " (moved out)"
    with (platform.home.parent / "devices.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    ui = DagsterUI(page, platform.url, pictures())
    known = ui.known_runs()
    ui.materialize("device_metadata")
    assert ui.wait_for_run(known) == "SUCCESS"
    ui.open("/assets/device_metadata?view=events", "kWh_per_customer")
    text = markdown_shown(page)
    for literal in (f"![p](http://{HOST}/p.png)", f"[click](http://{HOST}/)", "<b>bold</b>", "a|b|c", r"\x1b[31mred"):
        assert literal in text, literal


def test_a_broken_contract_is_reported_literally(page: Page, platform: Running) -> None:
    """The texts are in the description of the failure, in the run's log, in a check and in its offenders."""
    devices = platform.home.parent / "devices.csv"
    good = devices.read_bytes()
    with devices.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([f"broken {number}", "c", "t", text, text] for number, text in enumerate(HOSTILE))
    ui = DagsterUI(page, platform.url)
    known = ui.known_runs()
    ui.materialize("device_metadata")
    assert ui.wait_for_run(known) == "FAILURE"
    run = next(iter(ui.known_runs() - known))
    ui.open(f"/runs/{run}", "violations of the device contract")
    assert_harmless(page)
    devices.write_bytes(good)
    quoted = f"![p](http://{HOST}/p.png)"
    iot_platform(
        platform.env,
        "sql",
        "INSERT INTO device_metadata (device_id, customer_id, building_type, latitude, longitude, time_zone) "
        f"VALUES (999999, '{quoted}', '<b>x</b>', 95, 1, '{quoted}')",
    )
    known = ui.known_runs()
    ui.run_checks("device_metadata", "metadata_contract_holds")
    ui.wait_for_run(known)
    for check in ("metadata_contract_holds", "metadata_source_is_fresh"):
        ui.open(f"/assets/device_metadata?view=checks&checkDetail={check}", check)
        page.wait_for_timeout(1_000)
        assert_harmless(page)
    ui.open("/assets/device_metadata?view=checks&checkDetail=metadata_contract_holds", "offenders")
    assert quoted in markdown_shown(page)


def test_the_dashboard_is_literal(page: Page, platform: Running) -> None:
    ui = DashboardUI(page, platform.dashboard_url, pictures())
    page.set_viewport_size({"width": 1440, "height": 1000})
    ui.open()
    assert_harmless(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 1440
    ticks = ui.tile("building_types").locator(".ytick text").all_text_contents()
    bars = ui.tile("building_types").locator(".bars .point").count()
    # Each bar has a place and a name of its own, also where two read the same.
    assert len(ticks) == bars == len(HOSTILE)
    assert [name for name in ticks if name.startswith("<b>bold</b><br>line")] and "a $\\foo$ b" in map(str.strip, ticks)
    for tile in ("usage_over_time", "building_types", "top_devices", "map"):
        for mark in ui.tile(tile).locator(".bars .point path, .points path").all()[:60]:
            mark.scroll_into_view_if_needed()
            box = mark.bounding_box()
            if box:
                page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
                assert_harmless(page)
    ui.picture("hostile-dashboard")
    for name in ("Building type", "Customer"):
        page.get_by_text(name, exact=True).first.click()
        page.locator("details[open] li").first.wait_for(timeout=TIMEOUT_MS)
        assert_harmless(page)
        page.keyboard.press("Escape")
    for button in page.get_by_role("button", name="Table of").all():
        button.click()
    ui.wait_until_ready()
    assert_harmless(page)
    cells = page.locator("tbody th button").all_inner_texts()
    assert f"![p](http://{HOST}/p.png)" in cells
    page.locator("tbody th button", has_text=f"<a href='http://{HOST}/'>").first.click()
    ui.wait_until_ready()
    assert_harmless(page)
