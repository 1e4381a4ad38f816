"""``python -m iot_platform_tests.stateful``."""

from __future__ import annotations

import json
import logging
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from iot_platform.services.signals import interrupt_on_stop_signals
from iot_platform_tests.stateful.runner import Report, run


@click.command()
@click.option("--actions", "count", type=click.IntRange(1), default=1000, show_default=True, help="How many actions.")
@click.option("--seed", type=int, default=None, help="The same seed, the same actions; default: a random one.")
@click.option(
    "--platforms",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="So many platforms side by side share the actions, each with a seed of its own: SEED, SEED + 1, ...",
)
@click.option("--trace", is_flag=True, help="Print each action before it runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one line of JSON.")
def stateful(count: int, seed: int | None, platforms: int, trace: bool, as_json: bool) -> None:
    """Do random things to a platform in a temporary home and compare every layer with a model of the truth."""
    # SIGTERM ends the server and removes the home, like Ctrl-C.
    interrupt_on_stop_signals()
    # The server is stopped on purpose: the warnings about each attempt to reach it are not wanted.
    logging.disable(logging.WARNING)
    seed = secrets.randbelow(10**6) if seed is None else seed
    if platforms > 1:
        options = [*(["--trace"] if trace else []), *(["--json"] if as_json else [])]
        sys.exit(_side_by_side(range(seed, seed + platforms), -(-count // platforms), options))
    click.echo(f"Seed {seed}, {count:,} actions.", err=True)
    with tempfile.TemporaryDirectory(prefix="iot-stateful-", ignore_cleanup_errors=True) as home:
        report = run(Path(home), seed, count, say=lambda text: click.echo(text, err=True) if trace else None)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        _show(report)
    sys.exit(1 if report.failure else 0)


def _side_by_side(seeds: range, count: int, options: list[str]) -> int:
    """Run a process for each seed, print what each has to say when it ends, and return 1 if any of them failed."""
    command = [sys.executable, "-m", "iot_platform_tests.stateful", "--actions", str(count), *options]
    children = [subprocess.Popen([*command, "--seed", str(seed)], stdout=subprocess.PIPE, text=True) for seed in seeds]
    try:
        for child in children:
            click.echo(child.communicate()[0], nl=False)
    finally:
        # Those that still run, when this process is asked to end: each ends its server and removes its home.
        for child in children:
            child.terminate()
            child.wait()
    # A process that was killed has a negative code.
    return 1 if any(child.returncode for child in children) else 0


def _show(report: Report) -> None:
    click.echo(f"Seed {report.seed}:")
    for name, number in report.actions.most_common():
        click.echo(f"{name:<14}{number:>7,}{report.action_s[name]:>9.1f} s")
    for name, number in report.checks.items():
        click.echo(f"{number:,} checks of {name}")
    click.echo(f"{report.readings:,} readings, {report.closed_days:,} verified days compared, {report.seconds:.0f} s")
    click.echo(f"Days rebuilt: {dict(report.rebuilt)}")
    click.echo(report.failure or "The platform is what the model says.")


if __name__ == "__main__":
    stateful()
