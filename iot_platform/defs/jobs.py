"""Jobs for the usual selections, and their priorities in the run queue."""

from __future__ import annotations

import dagster as dg

from iot_platform.defs.dagster_internals import REPOSITORY_LABEL_TAG
from iot_platform.layers.catalog import DERIVED_LAYERS, DEVICES, RAW_TABLE

# Runs without this tag have priority 0: backfills, and what people launch.
PRIORITY = "dagster/priority"
FIRST, SOON, LAST = "10", "5", "-5"
# Limits in dagster.yaml keep runs with this tag from taking all slots.
NIGHTLY = "iot_platform/nightly"

# Other code locations may share Dagster's storage, and have jobs of the same names. Dagster tags each run that the UI,
# a schedule or a sensor starts. Runs of `dagster job execute` have no such tag.
OWN_RUNS = {REPOSITORY_LABEL_TAG: "__repository__@iot_platform"}

LAYERS = dg.AssetSelection.assets(*(layer.name for layer in DERIVED_LAYERS))

ingestion_job = dg.define_asset_job(
    "ingestion_job",
    # Runs every few minutes. The checks look at whole days and run with the hourly proof.
    selection=dg.AssetSelection.assets(RAW_TABLE).without_checks(),
    # The sensor requests nothing while a run goes on, so a run that hangs must end after some time.
    tags={PRIORITY: FIRST, "dagster/max_runtime": "3600"},
    description="Ingest the readings of a period into L1; the views carry them through the other layers.",
)

prove_job = dg.define_asset_job(
    "prove_job",
    selection=LAYERS,
    description="Verify L2, quarantine, L3 and the marts of L4 of a day, rebuild what differs, and run their checks.",
)

all_layers_job = dg.define_asset_job(
    "all_layers_job",
    selection=dg.AssetSelection.assets(RAW_TABLE) | LAYERS,
    description="Ingest what is missing of a day, then verify all of its layers and run their checks.",
)

refresh_metadata_job = dg.define_asset_job(
    "refresh_metadata_job",
    selection=dg.AssetSelection.assets(DEVICES),
    tags={PRIORITY: FIRST},
    description="Refresh the device metadata from its source.",
)

metadata_checks_job = dg.define_asset_job(
    "metadata_checks_job",
    # When a refresh fails, its checks are skipped. The age of the metadata must be checked then, too.
    selection=dg.AssetSelection.checks_for_assets(DEVICES),
    tags={PRIORITY: FIRST},
    description="Check the device metadata without refreshing it.",
)
