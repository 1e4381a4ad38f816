"""The option ``--device-ids`` of commands that read meter ids."""

from __future__ import annotations

import click

DEVICE_IDS = click.option(
    "--device-ids",
    type=click.Choice(["auto", "numeric", "external"]),
    default="auto",
    show_default=True,
    help="An id from 1 to 999,999,999 without leading zeros is a number, any other text a name. numeric: refuse names. "
    "auto, external: take both.",
)
