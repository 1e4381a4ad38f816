"""Rows of a file before they are parsed, each with its place in the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from iot_platform.readings.files.unended_line import UnendedLine

if TYPE_CHECKING:
    from iot_platform.readings.files.file_format import FileFormat

# A column of a file: a pyarrow Array of any type, known only when the file is open.
Column: TypeAlias = Any
# Line numbers of a CSV file, row numbers of a Parquet file; both count from 1.
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reject:
    """A row that is not a reading: its place in the file, the reason, and its text."""

    place: int
    reason: str
    text: str


@dataclass(frozen=True)
class RawRows:
    """Consecutive rows: the wanted columns, the place of each row, and the rows that do not fit the columns."""

    columns: Mapping[str, Column]
    places: Places
    malformed: list[Reject] = field(default_factory=list)
    text_of: Callable[[int], str] = str

    @property
    def records(self) -> int:
        """Number of rows, including malformed ones."""
        return len(self.places) + len(self.malformed)


@dataclass(frozen=True)
class Fact:
    """What a file was taken for, and where that is known from: a row of the table that an inspection shows."""

    name: str
    taken_as: str
    known_from: str


class RowSource(Protocol):
    """An open file of readings. ``place_name`` is what the places count, such as "line" or "row"."""

    place_name: str

    @property
    def format(self) -> FileFormat:
        """What the file is; its counts are complete when the last rows were read."""
        ...

    @property
    def column_names(self) -> list[str]:
        """The header of the file."""
        ...

    @property
    def unended_line(self) -> UnendedLine | None:
        """The last line of a text, if it has no line end; known when the last rows were read."""
        ...

    @property
    def facts(self) -> Sequence[Fact]:
        """What the file was taken for before its rows were looked at."""
        ...

    @property
    def encoding(self) -> str:
        """The encoding of a text; "" for UTF-8 and for files that are no text."""
        ...

    def rows(self, columns: list[str]) -> Iterator[RawRows]:
        """All rows of the file, with only these columns."""
        ...

    def progress(self) -> float:
        """Share of the file that has been read, from 0 to 1."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class PlainSource:
    """The base of sources whose format leaves nothing open: no encoding, and no line that may be cut off."""

    unended_line: UnendedLine | None = None
    facts: Sequence[Fact] = ()
    encoding: str = ""
