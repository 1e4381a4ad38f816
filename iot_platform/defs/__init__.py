"""Dagster's definitions, by topic: readings (L1), layers (L2 to L4), devices (metadata), looker, problems, alerts."""

import warnings

import dagster as dg

# Backfill policies and links to code have existed for years and still count as beta. A warning at every start would not
# help users.
for _beta in ("Parameter `backfill_policy`", "Class `LocalFileCodeReference`", "Class `CodeReferencesMetadataValue`"):
    warnings.filterwarnings("ignore", message=_beta, category=dg.BetaWarning)
warnings.filterwarnings("ignore", message="Function `with_source_code_references`", category=dg.BetaWarning)
