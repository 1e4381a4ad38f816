"""Run random actions on the platform, and compare it with the model in between."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iot_platform_tests.stateful.actions import Action
from iot_platform_tests.stateful.checks import check_closed_days, check_raw, settle
from iot_platform_tests.stateful.choices import Choices
from iot_platform_tests.stateful.world import World

# Actions between two checks: of L1, of the verified days, and of everything after a proof.
RAW_EVERY, CLOSED_EVERY, SETTLE_EVERY = 5, 10, 40
# After everything was proved, this many actions change metadata or limits; each is checked at once.
CALM_ACTIONS = 3
LAST_ACTIONS = 30


@dataclass
class Report:
    """What a run did: actions and seconds by kind, checks, days rebuilt by layer, and the failure, if any."""

    seed: int
    actions: Counter[str] = field(default_factory=Counter)
    action_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    checks: Counter[str] = field(default_factory=Counter)
    check_s: float = 0.0
    closed_days: int = 0
    rebuilt: Counter[str] = field(default_factory=Counter)
    readings: int = 0
    seconds: float = 0.0
    failure: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        rounded = {name: round(seconds, 1) for name, seconds in self.action_s.items()}
        return {**vars(self), "action_s": rounded, "seconds": round(self.seconds, 1), "check_s": round(self.check_s, 1)}


def run(home: Path, seed: int, count: int, say: Callable[[str], None] = lambda text: None) -> Report:
    """Do ``count`` random actions of a seed on a platform in ``home``; up to the first failure."""
    report = Report(seed)
    last: deque[str] = deque(maxlen=LAST_ACTIONS)
    started = time.monotonic()
    try:
        with World(home) as world:
            choices = Choices(seed)
            for number in range(1, count + 1):
                is_calm = 0 <= (number - 1) % SETTLE_EVERY < CALM_ACTIONS and number > SETTLE_EVERY
                action = choices.change() if is_calm else choices.draw(world.truth)
                last.append(f"{number}: {action!r}")
                say(last[-1])
                _act(world, action, report)
                _check(world, number, report, is_calm=is_calm, is_last=number == count)
                report.readings = len(world.truth.readings)
    # Whatever fails, the report must name the actions before it.
    except Exception as error:  # noqa: BLE001
        story = "\n  ".join(last)
        report.failure = (
            f"{type(error).__name__} at action {last[-1].split(':')[0] if last else 0} of seed {seed}: {error}\n"
            f"The last actions:\n  {story}\n"
            f"To repeat: python -m iot_platform_tests.stateful --actions {count} --seed {seed}"
        )
    report.seconds = time.monotonic() - started
    return report


def _act(world: World, action: Action, report: Report) -> None:
    started, name = time.monotonic(), type(action).__name__
    action.run(world)
    report.actions[name] += 1
    report.action_s[name] += time.monotonic() - started


def _check(world: World, number: int, report: Report, *, is_calm: bool, is_last: bool) -> None:
    started = time.monotonic()
    if number % RAW_EVERY == 0 or is_last:
        check_raw(world)
        report.checks["L1"] += 1
    if number % CLOSED_EVERY == 0 or is_calm:
        report.closed_days += check_closed_days(world)
        report.checks["closed days"] += 1
    if number % SETTLE_EVERY == 0 or is_last:
        report.rebuilt += settle(world)
        report.checks["everything, after a proof"] += 1
    report.check_s += time.monotonic() - started
