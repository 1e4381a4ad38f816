"""``python -m iot_platform_tests.conformance --suite CHECKOUT``."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import click

from iot_platform_tests.conformance.expected import EXPECTED, judge, read_expected
from iot_platform_tests.conformance.run import Outcome, run_suite

# What the suite imports and our own tests do not.
_PLUGINS = ("pytest_asyncio", "pytest_mock", "polars")


@click.command()
@click.option(
    "--suite",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A checkout of the repository ClickHouse/clickhouse-connect; only its tests/ is read.",
)
@click.option(
    "--expected",
    default=EXPECTED,
    show_default=False,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The list of expected failures; default: the one of this repository.",
)
@click.option("--only", default="", help="Run only the tests that match this expression of pytest's -k.")
def conformance(suite: Path, expected: Path, only: str) -> None:
    """Run clickhouse-connect's integration suite with the installed client against a fresh embedded server.

    Exit code 1: a test failed that is not on the list of expected failures, or one on the list passed.
    """
    if not (suite / "tests" / "integration_tests").is_dir():
        raise click.UsageError(f"{suite} has no tests/integration_tests: give a checkout of clickhouse-connect.")
    missing = [name for name in _PLUGINS if importlib.util.find_spec(name) is None]
    if missing:
        raise click.UsageError(f"The suite needs {', '.join(missing)}: run `make clients`.")
    with tempfile.TemporaryDirectory(prefix="conformance-") as work:
        outcomes = run_suite(suite, Path(work), only)
    verdict = judge(outcomes, read_expected(expected), complete=not only)
    _print_counts(outcomes)
    for outcome in verdict.expected:
        click.echo(f"expected    {outcome.test}: {verdict.reasons[outcome.test]}")
    for outcome in verdict.unexpected:
        click.echo(f"UNEXPECTED  {outcome.test}: {outcome.cause}")
    for test in verdict.passed:
        click.echo(f"PASSES NOW  {test}: take it off the list in {expected}")
    for test in verdict.unknown:
        click.echo(f"UNKNOWN     {test}: on the list in {expected}, but the suite has no such test")
    sys.exit(0 if verdict.good else 1)


def _print_counts(outcomes: list[Outcome]) -> None:
    counts = {status: sum(outcome.status == status for outcome in outcomes) for status in Outcome.STATUSES}
    click.echo(
        f"clickhouse-connect {version('clickhouse-connect')}: {len(outcomes)} tests, "
        + ", ".join(f"{number} {status}" for status, number in counts.items())
    )


conformance()
