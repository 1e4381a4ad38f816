"""Dagster's view of the platform, by topic: readings (L1), layers (L2 to L4), devices (metadata)."""

import warnings

import dagster as dg

# Backfills in one run have been there for years, and still count as beta: nothing to warn our users of at each start.
warnings.filterwarnings("ignore", message=r"Parameter `backfill_policy`", category=dg.BetaWarning)
