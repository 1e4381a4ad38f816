"""How versions without a rule for all ids read files: the first rows decided whether all ids were numbers or names.

A file that was loaded by such a version keeps the name of its source, so that it is recognised. If that load was
interrupted, the rest is loaded in the same way: the positions of a file count the rows that are readings.
"""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa
from pyarrow import compute

from iot_platform.devices.meter_ids import plain_numbers
from iot_platform.readings.files.columns import Columns
from iot_platform.readings.files.parsing import parse_ids
from iot_platform.readings.files.raw_rows import RawRows

pc: Any = compute

# A few broken ids did not turn a file of numbers into a file of names, or the other way round.
_CLEAR_SHARE = 0.9


def older_kind(rows: RawRows | None, columns: Columns) -> Literal["numeric", "external"]:
    """The kind of ids that an older version saw in the first rows. (It refused mixed ids; any answer will do then.)"""
    if rows is None:
        return "numeric"
    known = pc.unique(parse_ids(rows.columns[columns.device], by_older_rule=True).values).drop_null()
    if not len(known):
        return "numeric"
    share = 1 - plain_numbers(known, "kept").null_count / len(known)
    return "numeric" if share >= _CLEAR_SHARE else "external"


def older_numbers(texts: pa.StringArray) -> pa.Array[Any]:
    """device_id (uint32) of each id in a file of numbers; NULL for the others."""
    fits = pc.fill_null(pc.match_substring_regex(texts, r"^0*[0-9]{1,9}$"), False)
    digits: pa.StringArray = pc.if_else(fits, texts, pa.scalar(None, pa.string()))
    return digits.cast(pa.int64()).cast(pa.uint32())
