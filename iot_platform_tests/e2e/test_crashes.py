"""A short soak: the server, ``ingest`` and ``prove`` are killed at random; every layer is as the model says."""

from __future__ import annotations

import click
import pytest

from iot_platform_tests.soak.harness import Plan, Soak


@pytest.mark.timeout(600)
def test_no_crash_loses_or_doubles_a_reading() -> None:
    # Two rounds: with a server that the commands know by its address, and with one that they start on demand.
    outcome = Soak(Plan(seed=20, kills=12, kills_per_round=6, limit_s=500), click.echo).run()
    assert outcome.mismatches == [], f"kept in {outcome.home}"
    assert outcome.rounds == 2 and set(outcome.kills) == {"server", "ingest", "prove"}
    assert outcome.duplicates > 0 and outcome.quarantined > 0
