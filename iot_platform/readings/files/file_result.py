"""What became of a file of readings."""

from __future__ import annotations

from dataclasses import dataclass, field

from iot_platform.readings.files.inspected import Inspection
from iot_platform.readings.files.last_line import LastLine
from iot_platform.readings.files.raw_rows import Reject


@dataclass
class FileResult:
    """The result of loading one file.

    ``rows_read`` = ``inserted`` + ``already_loaded`` + all ``rejected`` + ``without_interval`` (readings of a register
    that end no interval, such as the first). ``inspection``: None if the file was loaded before.

    ``last_line``: of a file whose last line has no line end. "held back": it may be cut, and is one of ``rejected``; it
    is loaded when the file is loaded again with ``accept_last_line``.
    """

    file: str
    source: str
    mapping: str
    rows_read: int = 0
    inserted: int = 0
    already_loaded: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    rejects_file: str | None = None
    first_rejects: list[Reject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    place_name: str = "row"
    was_complete: bool = False
    seconds: float = 0.0
    last_line: LastLine = ""
    without_interval: int = 0
    inspection: Inspection | None = None

    @property
    def rows(self) -> int:
        """Number of rows of the file, also after a dry run, which reads them only to inspect them."""
        return self.rows_read or (self.inspection.rows if self.inspection else 0)

    @property
    def bad_rows_found(self) -> int:
        """Number of rows that the inspection of a dry run could not read as readings; 0 after a load."""
        return self.inspection.rows - self.inspection.readable if self.inspection and not self.rows_read else 0

    @property
    def has_no_readings(self) -> bool:
        """Whether the file has rows, and not one of them is a reading."""
        found = self.inserted + self.already_loaded + self.without_interval
        if not self.rows_read and self.inspection:
            found = self.inspection.readable
        return bool(self.rows) and not found
