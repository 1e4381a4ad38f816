"""The result of an inspection, and what an inspection may ask the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from iot_platform.devices.meter_ids import LeadingZeros
from iot_platform.readings.files.column_mapping import ColumnMapping
from iot_platform.readings.files.columns import Columns
from iot_platform.readings.files.kept_rows import KeptRows
from iot_platform.readings.files.last_line import LastRow
from iot_platform.readings.files.local_times import RepeatedHours
from iot_platform.readings.files.raw_rows import Fact
from iot_platform.readings.files.value_notes import WarningsOfUse

# The zones of meters, from their metadata: by zone, one of its meters.
ZonesOf = Callable[[Sequence[str]], Mapping[str, str]]


@dataclass(frozen=True)
class Surroundings:
    """What the database knows of the meters of a file.

    ``zones_of``: the zones of meters; ``warnings_of_use``: warnings of those that use more or less than before.
    """

    zones_of: ZonesOf = lambda names: {}
    warnings_of_use: WarningsOfUse = lambda names, means: []
    leading_zeros: Callable[[], LeadingZeros] = lambda: "kept"


@dataclass
class Inspection:
    """What a load takes a file for, and what it contains. Times are ISO 8601 in UTC; ``_from``: where it is known from.

    ``kWh``: the sum of all finite values, before L2 refuses any.
    """

    columns: Columns
    rows: int
    readable: int
    meters: int
    quantity: str
    unit: str
    unit_from: str
    time_zone: str
    time_zone_from: str
    stamp: str
    stamp_from: str
    time_format: str
    decimal: str
    interval: str
    first: str | None
    last: str | None
    kWh: float | None
    facts: list[Fact] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    preview: list[tuple[str, str, float]] = field(default_factory=list)
    format: str = ""
    format_from: str = ""


@dataclass(frozen=True)
class Inspected:
    """The result of an inspection: the mapping with all conventions, and the times of the repeated hours.

    ``kept``: the rows, if they are few enough to be kept. ``last_row``: the last one, if its line has no line end.
    """

    mapping: ColumnMapping
    repeated_hours: RepeatedHours | None
    inspection: Inspection
    kept: KeptRows
    last_row: LastRow | None

    @property
    def may_be_cut(self) -> bool:
        """Whether the last line may be incomplete."""
        return self.last_row is not None and self.last_row.may_be_cut
