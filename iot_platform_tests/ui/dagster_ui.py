"""What a person does in the Dagster UI, as functions of a page; what it did, asked of Dagster's GraphQL API."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Page

TIMEOUT_MS = 60_000
WAIT_S = 120.0
GROUPS = ("l1_raw", "l2_cleaned", "metadata", "l3_joined", "l4_marts")

_RUNS = """query ($filter: RunsFilter) { runsOrError(filter: $filter, limit: 50) {
  ... on Runs { results { runId status tags { key value } } } } }"""
_BACKFILLS = """{ partitionBackfillsOrError(limit: 5) {
  ... on PartitionBackfills { results { id status numPartitions } } } }"""
_TICKS = """query ($name: String!) { scheduleOrError(scheduleSelector: {
  repositoryName: "__repository__", repositoryLocationName: "iot_platform", scheduleName: $name}) {
  ... on Schedule { scheduleState { status ticks(limit: 5) { status runIds } } } } }"""


@dataclass
class DagsterUI:
    """A page of the UI at ``url``; pictures go to ``pictures`` when somebody wants them."""

    page: Page
    url: str
    pictures: Path | None = None

    def open(self, path: str, wait_for: str) -> None:
        """Open a page and wait for a text on it."""
        self.page.goto(f"{self.url}{path}", wait_until="domcontentloaded", timeout=TIMEOUT_MS)
        self.see(wait_for)

    def see(self, text: str) -> None:
        """Wait until a text is visible."""
        self.page.get_by_text(text).locator("visible=true").first.wait_for(timeout=TIMEOUT_MS)

    def picture(self, name: str, height: int = 950) -> None:
        """Take a screenshot of the upper part of the page, when they are wanted."""
        if self.pictures is not None:
            self.page.wait_for_timeout(2_500)
            width = self.page.evaluate("window.innerWidth")
            self.page.screenshot(
                path=self.pictures / f"{name}.png", clip={"x": 0, "y": 0, "width": width, "height": height}
            )

    def open_lineage(self) -> None:
        """The whole graph, its groups opened."""
        # The graph shows what fits on the screen.
        self.page.set_viewport_size({"width": 2300, "height": 1060})
        self.open(f"/asset-groups~?expanded={','.join(f'global@global:{group}' for group in GROUPS)}", "l1_power_raw")

    def materialize(self, asset: str, partitions: str = "") -> None:
        """Materialize an asset from its page; ``partitions`` as typed into the dialog, e.g. ``2026-01-02``."""
        self.open(f"/assets/{asset}", asset)
        self.page.get_by_role("button", name="Materialize").first.click()
        if partitions:
            self._choose(partitions)

    def backfill(self, job: str, partitions: str) -> None:
        """Launch a backfill of a job from its page."""
        self.open(f"/locations/iot_platform/jobs/{job}", "Materialize all")
        self.page.get_by_role("button", name="Materialize all").click()
        self._choose(partitions)

    def run_checks(self, asset: str, check: str) -> None:
        """Run all checks of an asset without materializing it, and show one of them."""
        self.open(f"/assets/{asset}?view=checks&checkDetail={check}", "Execute all")
        self.page.get_by_role("button", name="Execute all").click()

    def switch_on(self, schedule: str) -> None:
        """Start a schedule by its switch."""
        self.open(f"/locations/iot_platform/schedules/{schedule}", schedule)
        self._flip_switch()

    def switch_off(self, schedule: str) -> None:
        """Stop a schedule by its switch, and wait until the runs it has asked for have ended."""
        self.open(f"/locations/iot_platform/schedules/{schedule}", schedule)
        self._flip_switch()
        deadline = time.monotonic() + WAIT_S
        ended = ("SUCCESS", "FAILURE", "CANCELED")
        while self._state(schedule)["status"] != "STOPPED" or any(run["status"] not in ended for run in self.runs()):
            assert time.monotonic() < deadline, f"{schedule} goes on: {self._state(schedule)}"
            time.sleep(0.5)

    def runs(self, **tags: str) -> list[dict[str, Any]]:
        """The newest runs with these tags, newest first."""
        wanted = [{"key": key.replace("__", "/"), "value": value} for key, value in tags.items()]
        found: list[dict[str, Any]] = self._ask(_RUNS, filter={"tags": wanted})["runsOrError"]["results"]
        return found

    def wait_for_run(self, known: set[str]) -> str:
        """Wait until a run that is not among the ``known`` ids has ended; its status."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            for run in self.runs():
                if run["runId"] not in known and run["status"] in ("SUCCESS", "FAILURE", "CANCELED"):
                    return str(run["status"])
            time.sleep(0.3)
        raise AssertionError(f"No new run has ended: {self.runs()[:3]}")

    def known_runs(self) -> set[str]:
        """Ids of the runs so far."""
        return {run["runId"] for run in self.runs()}

    def wait_for_backfill(self) -> dict[str, Any]:
        """Wait until the newest backfill has ended."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            found = self._ask(_BACKFILLS)["partitionBackfillsOrError"]["results"]
            if found and found[0]["status"] not in ("REQUESTED", "IN_PROGRESS"):
                newest: dict[str, Any] = found[0]
                return newest
            time.sleep(0.5)
        raise AssertionError(f"The backfill did not end: {found}")

    def wait_for_tick(self, schedule: str) -> None:
        """Wait until a schedule has ticked and asked for a run."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            state = self._state(schedule)
            if any(tick["status"] == "SUCCESS" and tick["runIds"] for tick in state["ticks"]):
                assert state["status"] == "RUNNING"
                return
            time.sleep(1)
        raise AssertionError(f"No tick: {state}")

    def _state(self, schedule: str) -> dict[str, Any]:
        state: dict[str, Any] = self._ask(_TICKS, name=schedule)["scheduleOrError"]["scheduleState"]
        return state

    def _flip_switch(self) -> None:
        # The box itself lies outside of the window, behind what is drawn.
        box = self.page.locator("input[type=checkbox]").first
        box.wait_for(state="attached", timeout=TIMEOUT_MS)
        box.evaluate("box => box.click()")

    def _choose(self, partitions: str) -> None:
        field = self.page.locator("input[placeholder^='ex:'], input[placeholder='No matching partitions']").last
        field.wait_for(timeout=TIMEOUT_MS)
        field.fill(partitions)
        field.press("Enter")
        launch = self.page.get_by_role("button", name="Launch").last
        launch.wait_for(timeout=TIMEOUT_MS)
        self.picture("launch-dialog")
        launch.click()
        launch.wait_for(state="hidden", timeout=TIMEOUT_MS)

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=30)
        answer.raise_for_status()
        data: dict[str, Any] = answer.json()["data"]
        return data
