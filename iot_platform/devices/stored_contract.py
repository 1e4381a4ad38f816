"""The contract of the stored device metadata: it checks the table itself, including rows that were inserted by hand."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pandera
from pandera.errors import SchemaErrors

from iot_platform.devices.contract import CHECKS, KEY, REPEATED, contract

IMPLAUSIBLE = "is 0/0, a point in the sea"
# The columns that a rule about a whole row is shown under.
_COLUMNS = {IMPLAUSIBLE: "latitude, longitude", REPEATED: ", ".join(KEY)}

STORED = contract(
    pandera.Column(int, pandera.Check.gt(0, error="is not a positive number"), coerce=True),
    pandera.Column(pd.DatetimeTZDtype("s", "UTC"), CHECKS["valid_from"], coerce=True),
    row_checks=[
        pandera.Check(lambda rows: (rows["latitude"] != 0) | (rows["longitude"] != 0), error=IMPLAUSIBLE),
        pandera.Check(lambda rows: ~rows.duplicated(KEY, keep=False), error=REPEATED),
    ],
)


def breaches(versions: pd.DataFrame) -> pd.DataFrame:
    """The values of stored versions that break the contract: device_id, valid_from, column, value (text), problem.

    ``versions``: one row per version; the columns of the contract, valid_from in UTC.
    """
    columns = ["device_id", "valid_from", "column", "value", "problem"]
    if versions.empty:
        return pd.DataFrame(columns=columns)
    rows = versions.reset_index(drop=True)
    try:
        STORED.validate(rows, lazy=True)
    except SchemaErrors as errors:
        # pandera reports a rule about a whole row once per column of the row.
        cases = errors.failure_cases.drop_duplicates(["index", "check", "column"])
        cases["column"] = cases["check"].map(_COLUMNS).fillna(cases["column"])
        cases = cases.drop_duplicates(["index", "check", "column"])
    else:
        return pd.DataFrame(columns=columns)
    found = rows.loc[cases["index"].astype(int), KEY].reset_index(drop=True)
    found["column"], found["problem"] = cases["column"].tolist(), cases["check"].tolist()
    found["value"] = [
        "/".join(str(rows.at[int(index), name]) for name in column.split(", "))
        for index, column in zip(cases["index"], cases["column"], strict=True)
    ]
    ordered: pd.DataFrame = found[columns].sort_values(["device_id", "valid_from", "column"], ignore_index=True)
    return ordered
