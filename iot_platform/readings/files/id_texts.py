"""Meter ids as text, from columns of any type: what is a whole number is written as its digits."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyarrow import compute

from iot_platform.readings.files.raw_rows import Column

pc: Any = compute

# How data frames and spreadsheets write that there is no id.
_NAN = pa.array(["nan", "<na>", "#n/a"])


def without_nan(column: Column) -> Column:
    """The column with NULL for texts that stand for NaN."""
    if not pa.types.is_string(column.type):
        return column
    return pc.if_else(pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(column)), _NAN), None, column)


def id_texts(column: Column, missing: list[str]) -> Column:
    """The ids, NULL for those in ``missing`` and for numbers that are not whole; None if the type cannot hold ids."""
    if pa.types.is_floating(column.type):
        # Whole numbers with missing values are often stored as floats.
        whole = pc.and_(pc.is_finite(column), pc.equal(pc.floor(column), column))
        whole = pc.and_(whole, pc.less(pc.abs(column), 2.0**53))
        return pc.if_else(whole, column, None).cast(pa.int64()).cast(pa.string())
    if pa.types.is_decimal(column.type):
        texts = column.cast(pa.string())
        texts = pc.if_else(pc.match_substring_regex(texts, r"^-?[0-9]+(?:\.0*)?$"), texts, None)
        return pc.replace_substring_regex(texts, r"\..*$", "")
    if pa.types.is_string(column.type) or pa.types.is_integer(column.type):
        texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
        return pc.if_else(pc.is_in(pc.utf8_lower(texts), pa.array(missing)), None, texts)
    return None
