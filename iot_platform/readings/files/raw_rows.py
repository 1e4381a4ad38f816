"""Rows as a file holds them: not yet parsed, each with its place in the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

# A column of a file: a pyarrow Array of any type, known only when the file is open.
Column: TypeAlias = Any
# Line numbers of a CSV file, row numbers of a Parquet file; both count from 1.
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reject:
    """A row that is no reading: where it stands, why, and its text."""

    place: int
    reason: str
    text: str


@dataclass(frozen=True)
class RawRows:
    """Some consecutive rows: the wanted columns, the place of each row, and what could not be cut into columns."""

    columns: Mapping[str, Column]
    places: Places
    malformed: list[Reject] = field(default_factory=list)
    text_of: Callable[[int], str] = str

    @property
    def records(self) -> int:
        """Rows of the file, malformed ones included."""
        return len(self.places) + len(self.malformed)


class RowSource(Protocol):
    """A file opened for reading. ``place_name`` says what a place counts: line or row."""

    place_name: str

    @property
    def column_names(self) -> list[str]: ...

    def rows(self, columns: list[str]) -> Iterator[RawRows]:
        """The rows of the file from its start, with these columns only."""
        ...

    def progress(self) -> float:
        """Share of the file that has been read, 0 to 1."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Fingerprint:
    """What a file is: its path, the SHA-256 of its bytes in hexadecimal digits, its size."""

    path: Path
    sha256: str
    size_bytes: int
