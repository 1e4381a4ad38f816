"""Whether the texts of a file that are not UTF-8 are Windows-1252: its header is ASCII, but its rows are not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from iot_platform.readings.files.csv_text import WINDOWS
from iot_platform.readings.files.raw_rows import Column

# pyarrow's type stubs need the type of each array, which depends on the file.
pc: Any = compute

LONGEST_NAME = 200
# A word with letters that are not ASCII, and characters of names; or a number with blanks that do not break.
_PLAUSIBLE = re.compile(
    r"(?:[\w .,:;/()+#&'\u2019°§-]|\u2013)*[^\W\d_]{2}(?:[\w .,:;/()+#&'\u2019°§-]|\u2013)*|[\d \xa0.,+-]+"
)


@dataclass
class TextForms:
    """Counts texts that are not ASCII: those that are UTF-8, those that may be Windows-1252, and other ones."""

    utf8: int = 0
    windows: int = 0
    broken: int = 0

    def add(self, *columns: Column) -> None:
        """Count the texts of columns that are not decoded yet."""
        for column in columns:
            if pa.types.is_binary(column.type) and not _is_ascii(column):
                for value in pc.unique(column).drop_null().to_pylist():
                    self._add(value)

    def _add(self, value: bytes) -> None:
        if value.isascii():
            return
        try:
            value.decode()
            self.utf8 += 1
        except UnicodeDecodeError:
            text = value.decode(WINDOWS, errors="replace").strip()
            is_word = len(text) <= LONGEST_NAME and bool(_PLAUSIBLE.fullmatch(text)) and "\ufffd" not in text
            self.windows += is_word
            self.broken += not is_word

    def encoding(self) -> str:
        """The encoding of the texts that are not UTF-8; "": they are damaged, or there are none."""
        return WINDOWS if self.windows and not self.utf8 and not self.broken else ""


def _is_ascii(column: Column) -> bool:
    start, stop = column.offset, column.offset + len(column)
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int32)
    content = column.buffers()[2]
    if content is None:
        return True
    found = np.frombuffer(content, dtype=np.uint8)[offsets[start] : offsets[stop]]
    return not len(found) or int(found.max()) < 128
