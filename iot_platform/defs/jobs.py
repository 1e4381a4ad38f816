"""Jobs for the usual selections."""

from __future__ import annotations

import dagster as dg

from iot_platform.layers.catalog import DERIVED_LAYERS, RAW_TABLE

LAYERS = dg.AssetSelection.assets(*(layer.name for layer in DERIVED_LAYERS))

ingestion_job = dg.define_asset_job(
    "ingestion_job",
    # Each minute: its checks look at whole days, and run with the hourly proof.
    selection=dg.AssetSelection.assets(RAW_TABLE).without_checks(),
    description="Bring in the readings of a day (L1 only; the views carry them on).",
)

prove_job = dg.define_asset_job(
    "prove_job",
    selection=LAYERS,
    description="Prove L2, quarantine, L3 and the marts of L4 of a day; what differs is rebuilt. Runs their checks.",
)

all_layers_job = dg.define_asset_job(
    "all_layers_job",
    selection=dg.AssetSelection.assets(RAW_TABLE) | LAYERS,
    description="Bring in what is missing of a day, then prove all of its layers and run their checks.",
)

refresh_metadata_job = dg.define_asset_job(
    "refresh_metadata_job",
    selection=dg.AssetSelection.assets("device_metadata"),
    description="Refresh the device metadata from its source.",
)

metadata_checks_job = dg.define_asset_job(
    "metadata_checks_job",
    # A check of a failed run is skipped: how old the metadata is has to be asked without a refresh as well.
    selection=dg.AssetSelection.checks_for_assets("device_metadata"),
    description="Check the device metadata without refreshing it.",
)
