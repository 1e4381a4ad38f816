"""The list of expected failures, and its comparison with a run."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from iot_platform_tests.conformance.run import Outcome

EXPECTED = Path(__file__).with_name("expected.toml")


@dataclass
class Verdict:
    """A run compared with the list; ``reasons``: why each expected failure fails."""

    expected: list[Outcome] = field(default_factory=list)
    unexpected: list[Outcome] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether exactly the expected tests failed."""
        return not (self.unexpected or self.passed or self.unknown)


def read_expected(path: Path) -> dict[str, str]:
    """The expected failures: test (without its parameters: all its variants) -> reason."""
    found: dict[str, str] = {}
    for entry in tomllib.loads(path.read_text())["failure"]:
        for test in entry["tests"]:
            if test in found:
                raise ValueError(f"{path}: {test} is listed twice")
            found[test] = f"{entry['kind']}: {entry['reason']}"
    return found


def judge(outcomes: list[Outcome], expected: dict[str, str], complete: bool) -> Verdict:
    """Compare a run with the list; ``complete``: all tests ran, so that a listed one must be among them."""
    verdict = Verdict()
    met: set[str] = set()
    for outcome in outcomes:
        entry = next((name for name in (outcome.test, outcome.test.partition("[")[0]) if name in expected), None)
        if entry is not None:
            met.add(entry)
        if outcome.status == "failed" and entry is not None:
            verdict.expected.append(outcome)
            verdict.reasons[outcome.test] = expected[entry]
        elif outcome.status == "failed":
            verdict.unexpected.append(outcome)
        elif outcome.status == "passed" and entry is not None:
            verdict.passed.append(outcome.test)
    if complete:
        verdict.unknown = sorted(expected.keys() - met)
    return verdict
