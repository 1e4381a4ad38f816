"""What must be true of the stored device metadata, whoever wrote it: checked with pandera on the table itself."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pandera
from pandera.errors import SchemaErrors

from iot_platform.devices.time_zones import known_zones

IMPLAUSIBLE = "lies at 0/0, in the sea"
_TWICE = "stands more than once with the same valid_from"
# Where a rule about a whole row is shown.
_COLUMNS = {IMPLAUSIBLE: "latitude, longitude", _TWICE: "device_id, valid_from"}

_NAME = pandera.Check.str_matches(r"\S", error="is empty")


def _degrees(limit: int) -> pandera.Column:
    # An infinite or missing coordinate is in no range.
    in_range = pandera.Check.in_range(-limit, limit, error=f"is not from -{limit} to {limit}", ignore_na=False)
    return pandera.Column(float, in_range, nullable=True)


STORED = pandera.DataFrameSchema(
    {
        "device_id": pandera.Column(int, pandera.Check.gt(0, error="is no meter"), coerce=True),
        "customer_id": pandera.Column(str, _NAME),
        "building_type": pandera.Column(str, _NAME),
        "latitude": _degrees(90),
        "longitude": _degrees(180),
        "valid_from": pandera.Column(
            pd.DatetimeTZDtype("s", "UTC"),
            pandera.Check(lambda times: times == times.dt.floor("h"), error="is not a whole UTC hour"),
            coerce=True,
        ),
        "time_zone": pandera.Column(
            str, pandera.Check(lambda names: names.isin({"", *known_zones()}), error="is no IANA time zone")
        ),
    },
    checks=[
        pandera.Check(lambda rows: (rows["latitude"] != 0) | (rows["longitude"] != 0), error=IMPLAUSIBLE),
        pandera.Check(lambda rows: ~rows.duplicated(["device_id", "valid_from"], keep=False), error=_TWICE),
    ],
    strict="filter",
)


def breaches(versions: pd.DataFrame) -> pd.DataFrame:
    """What breaks the contract in stored versions: device_id, valid_from, column, value (text), problem.

    ``versions``: device_id, valid_from (UTC), customer_id, building_type, latitude, longitude, time_zone; one
    row per version.
    """
    columns = ["device_id", "valid_from", "column", "value", "problem"]
    if versions.empty:
        return pd.DataFrame(columns=columns)
    rows = versions.reset_index(drop=True)
    try:
        STORED.validate(rows, lazy=True)
    except SchemaErrors as errors:
        # A rule about a whole row is reported once per column of it.
        cases = errors.failure_cases.drop_duplicates(["index", "check", "column"])
        cases["column"] = cases["check"].map(_COLUMNS).fillna(cases["column"])
        cases = cases.drop_duplicates(["index", "check", "column"])
    else:
        return pd.DataFrame(columns=columns)
    found = rows.loc[cases["index"].astype(int), ["device_id", "valid_from"]].reset_index(drop=True)
    found["column"], found["problem"] = cases["column"].tolist(), cases["check"].tolist()
    found["value"] = [
        "/".join(str(rows.at[int(index), name]) for name in column.split(", "))
        for index, column in zip(cases["index"], cases["column"], strict=True)
    ]
    ordered: pd.DataFrame = found[columns].sort_values(["device_id", "valid_from", "column"], ignore_index=True)
    return ordered
