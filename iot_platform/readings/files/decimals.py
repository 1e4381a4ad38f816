"""Decimal commas and separators of thousands: how a whole column is written, and its numbers without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import compute

from iot_platform.errors import SourceError
from iot_platform.readings.files.raw_rows import Column

# pyarrow's type stubs need the type of each array, which depends on the file.
pc: Any = compute

# How numbers are written: the decimal separator, then the separator of thousands, if there is one. With a decimal
# comma, points between thousands are read without being named.
Decimal = str
_COMMA = r"^\s*[+-]?[0-9]*,[0-9]+\s*$"
# 1,125 is 1125 or 1.125; 0,125 and 1,25 can only be decimals.
_THOUSANDS_BY_COMMA = r"^\s*[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+\s*$"
_THOUSANDS_BY_POINT = r"^\s*[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+\s*$"
_BOTH = r"^\s*[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]+\s*$"
_BOTH_BY_POINT = r"^\s*[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+\.[0-9]+\s*$"
# Blanks (also those that do not break) and apostrophes can only be between thousands.
_BLANKS, _APOSTROPHES = r"[ \x{00a0}\x{2009}\x{202f}]", r"['\x{2019}]"
_GROUPED = r"^\s*[+-]?[1-9][0-9]{0,2}(?:%s[0-9]{3})+(?:[.,][0-9]+)?\s*$"
_BY_BLANKS, _BY_APOSTROPHES = _GROUPED % _BLANKS, _GROUPED % _APOSTROPHES


@dataclass
class NumberForms:
    """Counts the values of a column that contain a comma or a point, or another separator of thousands."""

    commas: int = 0
    maybe_thousands: int = 0
    points: int = 0
    points_as_thousands: int = 0
    both: int = 0
    both_by_point: int = 0
    by_blanks: int = 0
    by_apostrophes: int = 0

    def add(self, column: Column) -> None:
        """Count the values of a column, of which text is decoded."""
        if not pa.types.is_string(column.type):
            return
        with_comma = pc.fill_null(pc.match_substring(column, ","), False)
        commas = column.filter(with_comma)
        if len(commas):
            commas = pc.replace_substring_regex(commas, rf"({_BLANKS}|{_APOSTROPHES})([0-9]{{3}})", r"\2")
            self.commas += _matching(commas, _COMMA)
            self.maybe_thousands += _matching(commas, _THOUSANDS_BY_COMMA)
            self.both += _matching(commas, _BOTH)
            self.both_by_point += _matching(commas, _BOTH_BY_POINT)
            column = column.filter(pc.invert(with_comma))
        points = int(pc.sum(pc.match_substring(column, "."), min_count=0).as_py())
        # One decimal point is enough to know that not all points are between thousands.
        if points and self.points == self.points_as_thousands:
            self.points_as_thousands += _matching(column, _THOUSANDS_BY_POINT)
        self.points += points

    @property
    def certain_points(self) -> int:
        """Number of values with a point that can only be a decimal point."""
        return self.points - self.points_as_thousands

    def add_unread(self, column: Column) -> None:
        """Count the values that are no numbers without a format."""
        if pa.types.is_string(column.type):
            self.by_blanks += _matching(column, _BY_BLANKS)
            self.by_apostrophes += _matching(column, _BY_APOSTROPHES)


def decide_decimal(forms: NumberForms, given: str | None) -> Decimal:
    """How the numbers of a column are written, by all its values. Raises SourceError when it is not certain.

    If fewer values have a comma than a point, the values with a comma are not readable; they do not decide. (Unless all
    of them have commas between thousands, beside decimal points.)
    """
    thousands = " " if forms.by_blanks else "'" if forms.by_apostrophes else ""
    if given is not None:
        by_commas = "," if forms.maybe_thousands or forms.both_by_point else ""
        return "," + thousands if given == "comma" else "." + (thousands or by_commas)
    points = forms.points - forms.points_as_thousands if forms.both else forms.points
    has_decimal_comma = bool(forms.both or forms.commas > forms.maybe_thousands)
    if not has_decimal_comma and (forms.both_by_point or (forms.maybe_thousands and forms.certain_points)):
        return ".,"
    if forms.commas + forms.both <= points + forms.both_by_point:
        return "." + thousands
    if not points and not forms.both_by_point and has_decimal_comma:
        return "," + thousands
    problem = (
        "1,125 may be 1125 or 1.125"
        if not points and not forms.both_by_point
        else "Some values have a comma, others a point"
    )
    raise SourceError(f"The decimal separator is not certain: {problem}. Choose: --decimal comma or --decimal point.")


def describe_decimal(decimal: Decimal) -> str:
    """How numbers are written, in words."""
    words = {",": "comma", ".": "point"}[decimal[0]]
    separators = {"": "", ",": ", commas between thousands", " ": ", blanks between thousands"}
    return words + separators.get(decimal[1:], ", apostrophes between thousands")


def plain_numbers(texts: Column, decimal: Decimal) -> Column:
    """Numbers in that form as numbers with decimal points."""
    if not pa.types.is_string(texts.type):
        return texts
    for separator, pattern, blank in (
        (" ", _BY_BLANKS, _BLANKS),
        ("'", _BY_APOSTROPHES, _APOSTROPHES),
        (",", rf"(?:{_BOTH_BY_POINT})|(?:{_THOUSANDS_BY_COMMA})", ","),
    ):
        if decimal[1:] == separator:
            grouped = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
            plain = pc.replace_substring_regex(pc.utf8_trim_whitespace(texts), blank, "")
            texts = pc.if_else(grouped, plain, texts)
    return without_commas(texts) if decimal[0] == "," else texts


def without_commas(texts: Column) -> Column:
    """Numbers with decimal commas (and points between thousands) as numbers with decimal points."""
    if not pa.types.is_string(texts.type):
        return texts
    grouped = pc.fill_null(pc.match_substring_regex(texts, rf"(?:{_BOTH})|(?:{_THOUSANDS_BY_POINT})"), False)
    texts = pc.if_else(grouped, pc.replace_substring(texts, ".", ""), texts)
    return pc.replace_substring(texts, ",", ".", max_replacements=1)


def _matching(texts: Column, pattern: str) -> int:
    return int(pc.sum(pc.match_substring_regex(texts, pattern), min_count=0).as_py())
