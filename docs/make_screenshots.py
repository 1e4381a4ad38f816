"""Take the screenshots of docs/images from a running demo: ``python docs/make_screenshots.py [--url URL] [NAME ...]``.

``iot-platform demo`` should have run for some minutes. To show a check that fails, it writes four wrong readings into
L2 past the chain, and mends the day again by proving it. Needs Chromium.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import click
from playwright.sync_api import Page, sync_playwright

from iot_platform.clickhouse.client import session
from iot_platform.layers.model import partition_id
from iot_platform.layers.proof import prove_all
from iot_platform.settings import Settings

IMAGES = Path(__file__).parent / "images"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
TIMEOUT_MS = 120_000
SETTLE_MS = 3_000
DAMAGED_DAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=3)


def lineage(page: Page) -> None:
    """The whole graph, without the list of assets beside it."""
    _open(page, "/asset-groups~", width=1640, height=640, wait_for="l4_power_agg_hourly")
    page.get_by_role("button", name="Hide navigation").or_(page.get_by_text("Hide navigation")).first.click()
    page.reload()
    _settle(page, "l4_power_agg_hourly")


def asset(page: Page) -> None:
    """One day of L4: its proof and its figures."""
    path = f"/assets/l4_power_agg_hourly?view=partitions&partition={DAMAGED_DAY}"
    _open(page, path, width=1500, height=1040, wait_for="usage_of_the_day")


def asset_chart(page: Page) -> None:
    """The picture of a day in the metadata of L4."""
    asset(page)
    page.locator("tr", has_text="usage_of_the_day").get_by_text("[Show Markdown]").click()
    page.wait_for_timeout(SETTLE_MS)


def failed_check(page: Page) -> None:
    """A check of L2 that fails, and the readings that made it fail."""
    wrong = "[(25200, 17, -3.25), (25260, 17, -1.5), (34200, 42, 4200.), (67500, 101, 177.5)]"
    with session(Settings()) as client:
        client.command(
            "INSERT INTO l2_power_cleaned (timestamp, device_id, power_usage_kWh, ingested_at) "
            f"SELECT toDateTime('{DAMAGED_DAY} 00:00:00', 'UTC') + row.1, row.2, row.3, now64(6) "
            f"FROM (SELECT arrayJoin({wrong}) AS row)"
        )
    path = "/assets/l2_power_cleaned?view=checks&checkDetail=every_reading_is_within_limits"
    _open(page, path, width=1500, height=1000, wait_for="Execute all")
    page.get_by_role("button", name="Execute all").click()
    page.get_by_text("outside their limits").first.wait_for(timeout=TIMEOUT_MS)
    page.get_by_text("In Progress").first.wait_for(state="hidden", timeout=TIMEOUT_MS)
    page.locator("tr", has_text="offenders").get_by_text("[Show Markdown]").first.click()
    page.wait_for_timeout(SETTLE_MS)


def mend() -> None:
    """Rebuild the day that ``failed_check`` has damaged."""
    with session(Settings()) as client:
        list(prove_all(client, [partition_id(DAMAGED_DAY)]))


def sensor(page: Page) -> None:
    """The ingestion sensor with its ticks."""
    path = "/locations/iot_platform/sensors/simulated_ingestion_sensor"
    _open(page, path, width=1500, height=900, wait_for="run requested")


def _open(page: Page, path: str, *, width: int, height: int, wait_for: str) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(path, wait_until="domcontentloaded", timeout=TIMEOUT_MS)
    _settle(page, wait_for)


def _settle(page: Page, text: str) -> None:
    page.get_by_text(text).first.wait_for(timeout=TIMEOUT_MS)
    page.wait_for_timeout(SETTLE_MS)
    # Dagster's invitation to its community appears once per browser.
    if page.get_by_role("button", name="Skip").count():
        page.get_by_role("button", name="Skip").click()
        page.wait_for_timeout(SETTLE_MS)


SHOTS: dict[str, Callable[[Page], None]] = {
    "lineage": lineage,
    "asset": asset,
    "asset-chart": asset_chart,
    "failed-check": failed_check,
    "sensor": sensor,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(SHOTS)))
@click.option("--url", default="http://127.0.0.1:3000", show_default=True, help="Address of the Dagster UI.")
def main(names: tuple[str, ...], url: str) -> None:
    """Take the screenshots NAMES (default: all)."""
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        context = browser.new_context(base_url=url, timezone_id="UTC", locale="en-GB")
        try:
            for name in names or SHOTS:
                page = context.new_page()
                SHOTS[name](page)
                page.screenshot(path=IMAGES / f"{name}.png")
                page.close()
                click.echo(f"{IMAGES / name}.png")
        finally:
            browser.close()
            if not names or "failed-check" in names:
                mend()


if __name__ == "__main__":
    main()
