"""Dagster's view of the platform, by topic: readings (L1), layers (L2 to L4), devices (metadata)."""

import warnings

import dagster as dg

# Backfills in one run and links to code have been there for years, and still count as beta: nothing to warn users of at
# each start.
for _beta in ("Parameter `backfill_policy`", "Class `LocalFileCodeReference`", "Class `CodeReferencesMetadataValue`"):
    warnings.filterwarnings("ignore", message=_beta, category=dg.BetaWarning)
warnings.filterwarnings("ignore", message="Function `with_source_code_references`", category=dg.BetaWarning)
