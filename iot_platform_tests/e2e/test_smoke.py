"""A newcomer's first minutes: the demo, and its dashboard in a browser."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import expect

from iot_platform_tests.e2e.commands import environment
from iot_platform_tests.ui.browser import chromium
from iot_platform_tests.ui.dashboard_ui import DashboardUI

METERS = 20
SETTINGS = {"IOT_SIMULATOR_DEVICES": str(METERS), "IOT_SIMULATOR_INTERVAL_S": "300"}
COMMAND = [sys.executable, "-m", "iot_platform", "demo", "--days", "2", "--port", "0", "--json"]


def energy(dashboard: str) -> float:
    """The energy that the dashboard's server finds now."""
    with urllib.request.urlopen(f"{dashboard}/api/tiles/total", timeout=30) as response:
        [[total]] = json.load(response)["data"].values()
    return float(total)


@pytest.mark.smoke
def test_the_demo_ends_in_a_dashboard_that_shows_its_readings(tmp_path: Path) -> None:
    with (
        chromium() as browser,
        subprocess.Popen(COMMAND, env=environment(tmp_path, **SETTINGS), stdout=subprocess.PIPE, text=True) as demo,
    ):
        try:
            assert demo.stdout is not None
            lines = list[str]()
            while not lines or "Ctrl-C" not in lines[-1]:
                lines.append(demo.stdout.readline())
                assert lines[-1], f"The demo ended early: {lines}"
            [summary] = [json.loads(line) for line in lines if line.startswith("{")]
            assert summary["proved"] and summary["conserved"] and summary["unenriched"] == 0
            [url] = re.findall(r"Dashboard: (http://\S+)", "".join(lines))
            ui = DashboardUI(browser.new_page(), url)
            ui.open()
            assert ui.value("meters") == str(METERS)
            # New readings arrive meanwhile: the page shows what there was between the demo's summary and now.
            shown = float(ui.value("total").removesuffix(" kWh").replace(",", ""))
            assert summary["layers"]["l4_power_agg_hourly"]["kWh"] - 0.1 < shown < energy(url) + 0.1
            expect(ui.tile("top_devices").locator(".bars .point")).to_have_count(10)
        finally:
            demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
