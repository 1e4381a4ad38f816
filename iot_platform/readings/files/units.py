"""The units of a file: a table of symbols, and the unit that a header or a text names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow.compute as pc

from iot_platform.errors import SourceError
from iot_platform.readings.files.raw_rows import Column

Quantity = Literal["energy", "power", "other"]


@dataclass(frozen=True)
class Unit:
    """A unit. A value of it is ``multiply`` / ``divide`` kWh (of power: kW)."""

    symbol: str
    quantity: Quantity
    multiply: float = 1.0
    divide: float = 1.0
    meaning: str = ""


_TABLE = (
    Unit("mWh", "energy", divide=1_000_000),
    Unit("Wh", "energy", divide=1_000),
    Unit("kWh", "energy"),
    Unit("MWh", "energy", multiply=1_000),
    Unit("GWh", "energy", multiply=1_000_000),
    Unit("J", "energy", divide=3_600_000),
    Unit("kJ", "energy", divide=3_600),
    Unit("MJ", "energy", divide=3.6),
    Unit("GJ", "energy", multiply=1_000, divide=3.6),
    Unit("W", "power", divide=1_000),
    Unit("kW", "power"),
    Unit("MW", "power", multiply=1_000),
    Unit("VA", "other", meaning="apparent power"),
    Unit("kVA", "other", meaning="apparent power"),
    Unit("VAh", "other", meaning="apparent energy"),
    Unit("kVAh", "other", meaning="apparent energy"),
    Unit("kvar", "other", meaning="reactive power"),
    Unit("kvarh", "other", meaning="reactive energy"),
    Unit("m3", "other", meaning="a volume"),
    Unit("m³", "other", meaning="a volume"),
    Unit("°C", "other", meaning="a temperature"),
    Unit("A", "other", meaning="a current"),
    Unit("V", "other", meaning="a voltage"),
    Unit("EUR", "other", meaning="money"),
    Unit("GBP", "other", meaning="money"),
    Unit("USD", "other", meaning="money"),
    Unit("€", "other", meaning="money"),
    Unit("£", "other", meaning="money"),
    Unit("$", "other", meaning="money"),
    Unit("%", "other", meaning="a share"),
)
TABLE = {unit.symbol: unit for unit in _TABLE}
# The units that a file may have.
UNITS = tuple(unit.symbol for unit in _TABLE if unit.quantity != "other")
# Words that are written in one case: no header means milliwatt-hours by "mwh" or "MWH".
_IN_ONE_CASE = {unit.symbol.lower(): unit for unit in _TABLE if unit.symbol != "mWh"}
_NAMES = {
    "watthour": "Wh",
    "kilowatthour": "kWh",
    "megawatthour": "MWh",
    "gigawatthour": "GWh",
    "joule": "J",
    "kilojoule": "kJ",
    "megajoule": "MJ",
    "gigajoule": "GJ",
    "watt": "W",
    "kilowatt": "kW",
    "megawatt": "MW",
}
# Outside of brackets, these short words mean something else more often: "phase_a".
_ONLY_IN_BRACKETS = {"A", "V", "VA", "VAh", "%", "$", "€", "£", "°C"}
_ONLY_AS_LAST_WORD = {"W", "J"}
_PREFIXES = {"k", "K", "M", "G", "m"}
_BRACKETS = re.compile(r"\(([^()]*)\)|\[([^\[\]]*)\]|\{([^{}]*)\}")
_WORD_ENDS = re.compile(r"[\s_\-.,:;/]+")
# What energy may be given "per": the interval of the file. Anything else (kWh/m2, EUR/kWh) is another quantity.
_INTERVAL = re.compile(
    r"(?i)(?:half[\s_-]?hour|quarter[\s_-]?hour|hh|h|hour|day|d|interval|period|reading|\d+\s*m(?:in\w*)?)"
)


def find_unit(text: str) -> Unit | None:
    """The unit that a text names, or None. Blanks inside are ignored.

    An exact symbol counts first: ``mWh`` is milliwatt-hours. A word in capitals or in lower case is what people mean by
    it: ``mwh`` and ``MWH`` are megawatt-hours.
    """
    word = "".join(text.split())
    if word in TABLE:
        return TABLE[word]
    name = _NAMES.get(word.lower().replace("-", "").removesuffix("s"))
    if name:
        return TABLE[name]
    # "KWh" and "Kwh" cannot mean anything else; "mWH" can.
    if word.islower() or word.isupper() or not word.startswith("m"):
        return _IN_ONE_CASE.get(word.lower())
    return None


def unit_of_header(name: str, *, needed: bool = True) -> Unit | None:
    """The unit that the name of a column contains: in brackets, after ``_`` or as a word. None: it contains none.

    Raises SourceError when it names several units, or when the brackets contain no known unit (only if ``needed``).
    """
    brackets = ["".join(groups) for groups in _BRACKETS.findall(name)]
    inside = [_unit_of_expression(text) for text in brackets]
    found = {unit.symbol: unit for unit in inside if unit}
    found |= {unit.symbol: unit for unit in _units_of_words(_BRACKETS.sub(" ", name))}
    if len(found) > 1 and needed:
        raise SourceError(f"Column {name!r} names several units: {', '.join(found)}. Set the right one with --unit.")
    if found:
        return next(iter(found.values())) if len(found) == 1 else None
    unknown = [text for text in brackets if text.strip()]
    if unknown and needed:
        raise SourceError(
            f"Column {name!r}: {unknown[0]!r} is not a known unit. Set the unit with --unit ({', '.join(UNITS)})."
        )
    return None


def usable(unit: Unit, where: str) -> Unit:
    """The unit, if it is one of energy or power. Raises SourceError, which names ``where``, for other quantities."""
    if unit.quantity == "other":
        raise SourceError(
            f"{where} is in {unit.symbol}, which is {unit.meaning}, not energy. Choose the column with the energy with "
            "--value-column."
        )
    return unit


def to_base(values: Column, symbol: str) -> Column:
    """kWh (of power: kW) from values in a unit."""
    unit, compute = TABLE[symbol], _compute
    if unit.multiply != 1:
        values = compute.multiply(values, float(unit.multiply))
    return compute.divide(values, float(unit.divide)) if unit.divide != 1 else values


def _unit_of_expression(text: str) -> Unit | None:
    """The unit in brackets, such as ``kWh``, ``k Wh``, ``kWh/hh`` or ``in kWh``."""
    amount, per, interval = text.partition("/")
    if not per:
        amount, per, interval = text.partition(" per ")
    if per and not _INTERVAL.fullmatch(interval.strip()):
        return None
    found = {unit.symbol: unit for unit in [find_unit(amount)] if unit}
    found = found or {unit.symbol: unit for unit in _units_of_words(amount)}
    return next(iter(found.values())) if len(found) == 1 else None


def _units_of_words(text: str) -> list[Unit]:
    words = [word for word in _WORD_ENDS.split(text) if word]
    found = []
    index = 0
    while index < len(words):
        pair = "".join(words[index : index + 2])
        if words[index] in _PREFIXES or pair.lower().removesuffix("s") in _NAMES:
            joined = find_unit(pair)
            if joined and pair != words[index]:
                found.append(joined)
                index += 2
                continue
        unit = find_unit(words[index])
        is_last = index == len(words) - 1
        if unit and unit.symbol not in _ONLY_IN_BRACKETS and (is_last or unit.symbol not in _ONLY_AS_LAST_WORD):
            found.append(unit)
        index += 1
    return found


# pyarrow's type stubs need the type of each array, which depends on the file.
_compute: Any = pc
