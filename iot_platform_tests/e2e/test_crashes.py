"""A short soak test: the server, ``ingest`` and ``prove`` are killed at random; all layers must equal the model."""

from __future__ import annotations

import click
import pytest

from iot_platform_tests.soak.harness import Plan, Soak


@pytest.mark.timeout(600)
def test_no_crash_loses_or_doubles_a_reading() -> None:
    # One round with a running server, and one in which the commands start the server themselves.
    outcome = Soak(Plan(seed=20, kills=12, kills_per_round=6, limit_s=500), click.echo).run()
    assert outcome.mismatches == [], f"kept in {outcome.home}"
    assert outcome.rounds == 2 and set(outcome.kills) == {"server", "ingest", "prove"}
    assert outcome.duplicates > 0 and outcome.quarantined > 0
