"""The structure of a Green Button file (ESPI): usage points, meter readings, reading types, and how they are linked.

Source: NAESB REQ.21, "Energy Services Provider Interface" (espi.xsd). An Atom feed has one entry for each resource; the
link "self" names it, "related" names what belongs to it. The blocks of a meter reading are named below it
(``.../MeterReading/01/IntervalBlock/0173``), or their "up" link is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import urlsplit

WATT_HOURS = "72"
FORWARD = ("", "0", "1")
FLOWS = {"4": "net energy", "19": "energy that was fed in (reverse)"}
# accumulationBehaviour: the value is a total, not that of the interval.
TOTALS = {"1": "totals of a register", "3": "totals of a register", "9": "totals of a register"}
_METER_READING = re.compile(r"(?P<reading>.*/MeterReading/[^/]+)(?:/IntervalBlock(?:/.*)?)?$")
_USAGE_POINT = re.compile(r"(?P<point>.*UsagePoint/[^/]+)(?:/.*)?$")


@dataclass
class Entry:
    """An entry of the feed: its links, the fields of its resource, and the number of its blocks of readings."""

    resource: str = ""
    own: str = ""
    up: str = ""
    related: list[str] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    blocks: int = 0

    def add_link(self, kind: str, href: str) -> None:
        """Note a link, by its relation."""
        if kind == "self":
            self.own = href
        elif kind == "up":
            self.up = href
        elif kind == "related":
            self.related.append(href)


@dataclass(frozen=True)
class Series:
    """What the readings of a block are. ``left_out``: why they are no usage, or "". ``scale``: power of ten, to kWh."""

    meter: str
    name: str
    left_out: str
    scale: int | None

    def energy(self, value: str) -> float:
        """The kWh of a value. Raises ArithmeticError or ValueError if it is no number."""
        return float(Decimal(value).scaleb(self.scale or 0))


def path_of(href: str) -> str:
    """The path of a link, from the customer or the usage point on: hosts and versions of an API differ."""
    path = urlsplit(href.strip()).path.strip("/")
    found = re.search(r"(?:RetailCustomer|UsagePoint|ReadingType|MeterReading)/.*", path)
    return found[0] if found else path


class Feed:
    """The entries of a feed, but for the readings."""

    def __init__(self) -> None:
        self._types: dict[str, dict[str, str]] = {}
        self._type_of: dict[str, str] = {}
        self._points: dict[str, dict[str, str]] = {}
        self._readings: set[str] = set()

    def add(self, entry: Entry) -> None:
        """Note an entry."""
        if entry.resource == "ReadingType":
            self._types[entry.own] = entry.fields
        elif entry.resource == "UsagePoint":
            self._points[entry.own] = entry.fields
        elif entry.resource == "MeterReading":
            self._readings.add(entry.own)
            for link in entry.related:
                if link.startswith("ReadingType/") or "/ReadingType/" in link:
                    self._type_of[entry.own] = link

    def series(self, own: str, up: str, *, device: str | None, scale: int | None) -> Series:
        """What the readings of a block are, by its links. ``device``, ``scale``: of blocks that do not say it."""
        reading = self._reading_of(own, up)
        found = self._types.get(self._type_of.get(reading, ""))
        if found is None and len(self._types) == 1 and len(self._readings) <= 1:
            [found] = self._types.values()
        matched = _USAGE_POINT.match(reading) or _USAGE_POINT.match(up) or _USAGE_POINT.match(own)
        point = matched["point"] if matched else ""
        if not point and len(self._points) == 1:
            [point] = self._points
        left_out, known_scale = _usage(found, self._points.get(point, {}).get("kind", ""), scale)
        return Series(device or point, reading, left_out, known_scale)

    def _reading_of(self, own: str, up: str) -> str:
        for link in (own, up):
            if found := _METER_READING.match(link):
                return found["reading"]
        if len(self._readings) == 1:
            [only] = self._readings
            return only
        return up


def _usage(found: dict[str, str] | None, kind: str, scale: int | None) -> tuple[str, int | None]:
    """Why readings of a type are left out ("": they are usage), and their scale (None: unknown)."""
    if kind not in ("", "0"):
        return f"a service other than electricity (kind {kind})", None
    if found is None:
        return "", scale
    unit, flow = found.get("uom", ""), found.get("flowDirection", "")
    behaviour = found.get("accumulationBehaviour", "")
    if unit and unit != WATT_HOURS:
        return f"another quantity than Wh (uom {unit})", None
    if flow not in FORWARD:
        return FLOWS.get(flow, f"energy of another direction (flowDirection {flow})"), None
    if behaviour in TOTALS:
        return f"{TOTALS[behaviour]} (accumulationBehaviour {behaviour})", None
    if not unit:
        return "", scale
    power = found.get("powerOfTenMultiplier", "") or "0"
    return "", int(power) - 3 if re.fullmatch(r"[+-]?[0-9]{1,2}", power) else None
