"""Decimal commas: whether a whole column has them, and numbers without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from pyarrow import compute

from iot_platform.errors import SourceError
from iot_platform.readings.files.raw_rows import Column

# pyarrow's type stubs need the type of each array, which depends on the file.
pc: Any = compute

Decimal = Literal[".", ","]
_COMMA = r"^\s*[+-]?[0-9]*,[0-9]+\s*$"
# 1,125 is 1125 or 1.125; 0,125 and 1,25 can only be decimals.
_THOUSANDS_BY_COMMA = r"^\s*[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+\s*$"
_THOUSANDS_BY_POINT = r"^\s*[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+\s*$"
_BOTH = r"^\s*[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]+\s*$"


@dataclass
class NumberForms:
    """Counts the values of a column that contain a comma or a point."""

    commas: int = 0
    maybe_thousands: int = 0
    points: int = 0
    points_as_thousands: int = 0
    both: int = 0

    def add(self, column: Column) -> None:
        """Count the values of a column, of which text is decoded."""
        if not pa.types.is_string(column.type):
            return
        with_comma = pc.fill_null(pc.match_substring(column, ","), False)
        commas = column.filter(with_comma)
        if len(commas):
            self.commas += _matching(commas, _COMMA)
            self.maybe_thousands += _matching(commas, _THOUSANDS_BY_COMMA)
            self.both += _matching(commas, _BOTH)
            column = column.filter(pc.invert(with_comma))
        points = int(pc.sum(pc.match_substring(column, "."), min_count=0).as_py())
        # One decimal point is enough to know that not all points are between thousands.
        if points and self.points == self.points_as_thousands:
            self.points_as_thousands += _matching(column, _THOUSANDS_BY_POINT)
        self.points += points


def decide_decimal(forms: NumberForms, given: str | None) -> Decimal:
    """The decimal separator of a column, by all its values. Raises SourceError when it is not certain.

    If fewer values have a comma than a point, the values with a comma are not readable; they do not decide.
    """
    if given is not None:
        return "," if given == "comma" else "."
    points = forms.points - forms.points_as_thousands if forms.both else forms.points
    if forms.commas + forms.both <= points:
        return "."
    if not points and (forms.both or forms.commas > forms.maybe_thousands):
        return ","
    problem = "1,125 may be 1125 or 1.125" if not points else "Some values have a comma, others a point"
    raise SourceError(f"The decimal separator is not certain: {problem}. Choose: --decimal comma or --decimal point.")


def without_commas(texts: Column) -> Column:
    """Numbers with decimal commas (and points between thousands) as numbers with decimal points."""
    if not pa.types.is_string(texts.type):
        return texts
    grouped = pc.fill_null(pc.match_substring_regex(texts, rf"(?:{_BOTH})|(?:{_THOUSANDS_BY_POINT})"), False)
    texts = pc.if_else(grouped, pc.replace_substring(texts, ".", ""), texts)
    return pc.replace_substring(texts, ",", ".", max_replacements=1)


def _matching(texts: Column, pattern: str) -> int:
    return int(pc.sum(pc.match_substring_regex(texts, pattern), min_count=0).as_py())
