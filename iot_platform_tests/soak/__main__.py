"""``python -m iot_platform_tests.soak``."""

from __future__ import annotations

import json
import random
import sys
import time

import click

from iot_platform.services.signals import interrupt_on_stop_signals
from iot_platform_tests.soak.harness import Plan, Soak


@click.command()
@click.option("--kills", type=click.IntRange(1), default=200, show_default=True, help="How often to kill something.")
@click.option("--seed", type=int, default=None, help="Same seed, same stream and order of kills; default: a new one.")
@click.option("--limit", "limit_s", default=3600.0, show_default=True, help="Seconds after which it gives up.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one line of JSON.")
def soak(kills: int, seed: int | None, limit_s: float, as_json: bool) -> None:
    """Kill -9 the server, `ingest` and `prove` at random moments, and compare every layer with a model in between.

    Exit code 1: something differs from the model; the home is kept then.
    """
    interrupt_on_stop_signals()
    started = time.monotonic()
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - started:5.0f} s] {text}", err=True)

    say(f"{kills} kills, --seed {seed}")
    outcome = Soak(Plan(seed, kills, limit_s=limit_s), say).run()
    if as_json:
        click.echo(json.dumps(outcome.as_json()))
    for mismatch in outcome.mismatches:
        click.echo(mismatch, err=True)
    say(f"{dict(outcome.kills)} killed, {outcome.readings:,} readings, {len(outcome.mismatches)} mismatches.")
    sys.exit(1 if outcome.mismatches else 0)


soak()
