"""The contract of device metadata: its columns, and the rules for their values."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pandera.pandas as pandera

from iot_platform.devices.time_zones import known_zones

REQUIRED = ["device_id", "customer_id", "building_type", "latitude", "longitude"]
COLUMNS = [*REQUIRED, "valid_from", "time_zone"]
# The columns that identify a version.
KEY = ["device_id", "valid_from"]

# First and last time of ClickHouse's DateTime. A version with valid_from EPOCH has always been valid.
EPOCH = pd.Timestamp(0, tz="UTC")
LAST = pd.Timestamp(2**32 - 1, unit="s", tz="UTC")

REPEATED = "occurs more than once with the same valid_from"


def _degrees(limit: int) -> pandera.Check:
    # A value that is missing is out of range as well.
    return pandera.Check.in_range(-limit, limit, error=f"is not from -{limit} to {limit}", ignore_na=False)


IS_PRESENT = pandera.Check(lambda values: values.notna(), error="is missing", ignore_na=False)
HAS_TEXT = pandera.Check.str_matches(r"\S", error="is empty")

# The rules by column, for the rows of a source (source_rows.py) and for the stored versions (stored_contract.py).
CHECKS: dict[str, list[pandera.Check]] = {
    "customer_id": [IS_PRESENT, HAS_TEXT],
    "building_type": [IS_PRESENT, HAS_TEXT],
    "latitude": [_degrees(90)],
    "longitude": [_degrees(180)],
    "valid_from": [
        pandera.Check(lambda times: times == times.dt.floor("h"), error="is not a whole UTC hour"),
        pandera.Check.in_range(EPOCH, LAST, error=f"is not from {EPOCH:%Y-%m-%d} to {LAST:%Y-%m-%d}"),
    ],
    "time_zone": [pandera.Check(lambda names: names.isin({"", *known_zones()}), error="is not an IANA time zone")],
}


def contract(
    device_id: pandera.Column, valid_from: pandera.Column, row_checks: Sequence[pandera.Check] = ()
) -> pandera.DataFrameSchema:
    """The schema of device metadata; sources and the table represent ``device_id`` and ``valid_from`` differently."""
    own = {"device_id": device_id, "valid_from": valid_from}
    types = {"latitude": float, "longitude": float}
    columns = {
        name: own.get(name) or pandera.Column(types.get(name, str), CHECKS[name], nullable=True) for name in COLUMNS
    }
    return pandera.DataFrameSchema(columns, checks=list(row_checks), strict="filter")
