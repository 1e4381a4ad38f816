"""The report of rows that are not readings."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from iot_platform.readings.files.raw_rows import Reject
from iot_platform.security.escaping import escape_csv_cell
from iot_platform.security.private_files import private_directory

SHOWN = 5
LONGEST_TEXT = 2_000


class RejectReport:
    """Counts rejects by reason, keeps the first few, and writes all of them to a CSV file.

    The file is created with the first reject: no file means that every row was a reading. Spreadsheets do not take any
    text in it for a formula; see escaping.escape_csv_cell, also for how to get the original text back.
    """

    def __init__(self, path: Path, place_name: str) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self.first: list[Reject] = []
        self._place_name = place_name
        self._file: TextIO | None = None

    def add(self, rejects: Iterable[Reject]) -> None:
        """Write rejects, in the order of the file. When this returns, a crash of this process loses none of them."""
        for reject in rejects:
            if self._file is None:
                if not self.path.parent.exists():
                    private_directory(self.path.parent)
                self._file = self.path.open("w", encoding="utf-8", newline="")
                self._writer = csv.writer(self._file)
                self._writer.writerow([self._place_name, "reason", "text"])
            if len(self.first) < SHOWN:
                self.first.append(reject)
            self.counts[reject.reason] += 1
            self._writer.writerow([reject.place, reject.reason, escape_csv_cell(reject.text[:LONGEST_TEXT])])
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file, if there were rejects."""
        if self._file is not None:
            self._file.close()
