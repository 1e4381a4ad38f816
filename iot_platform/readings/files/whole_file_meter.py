"""The meter of a whole file: given, or a part of the file's name. It becomes a column like any other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from pyarrow import compute as pc

from iot_platform.errors import SourceError
from iot_platform.readings.files.parsing import parse_ids
from iot_platform.readings.files.raw_rows import Fact, RawRows, RowSource
from iot_platform.readings.files.wrapped_source import WrappedSource

_COMPRESSED = re.compile(r"(?i)\.(?:gz|zst|bz2|xz)$")


def check_name_pattern(pattern: str) -> str:
    """A pattern of file names with one ``{}``. Raises ValueError for others."""
    if pattern.count("{}") != 1:
        raise ValueError(f"{pattern!r} needs {{}} once, where the meter id is, such as 'meter_{{}}.csv'.")
    return pattern


def meter_from_name(path: Path, pattern: str) -> str:
    """The part of a file's name that ``{}`` stands for; ``*`` stands for any text.

    Folders do not count, nor does the ending of a compressed file if the pattern has none. Raises SourceError if the
    name is not like the pattern.
    """
    before, _, after = check_name_pattern(pattern).partition("{}")
    expression = re.compile(f"{_with_stars(before)}(.+?){_with_stars(after)}", re.DOTALL)
    for name in (path.name, _COMPRESSED.sub("", path.name)):
        if found := expression.fullmatch(name):
            return found[1].strip()
    raise SourceError(
        f"The file's name is not like --device-from-name {pattern}, so its meter is not known. Correct the pattern "
        "({} stands for the meter, * for any text), or say --device."
    )


class WholeFileMeter(WrappedSource):
    """A file with one more column: the same meter in each row.

    ``other``: a column that has the name of a meter. If it has several meters, SourceError is raised: they would become
    one.
    """

    def __init__(self, source: RowSource, meter: str, known_from: str, other: str | None) -> None:
        super().__init__(source)
        self._meter = meter
        self._known_from = known_from
        self._other = other
        self._seen: str | None = None
        self.name = f"{meter} (whole file)"

    @property
    def column_names(self) -> list[str]:
        """The new column, and those of the file."""
        return [self.name, *self._source.column_names]

    @property
    def facts(self) -> Sequence[Fact]:
        """What the file was taken for."""
        return [*self._source.facts, Fact("meter", self._meter, self._known_from)]

    def rows(self, columns: list[str]) -> Iterator[RawRows]:
        """All rows of the file, with only these columns."""
        of_file = [name for name in columns if name != self.name]
        if self._other is not None and self._other not in of_file:
            of_file.append(self._other)
        for rows in self._source.rows(of_file):
            if self._other is not None:
                self._check(rows)
            meters = pa.DictionaryArray.from_arrays(
                pa.array([0] * len(rows.places), pa.int8()), pa.array([self._meter])
            )
            yield replace(rows, columns={**rows.columns, self.name: meters})

    def _check(self, rows: RawRows) -> None:
        for meter in pc.unique(parse_ids(rows.columns[self._other or ""]).values).drop_null().to_pylist():
            self._seen = self._seen or meter
            if meter != self._seen:
                raise SourceError(
                    f"Column {self._other!r} has several meters ({self._seen}, {meter}), but all rows would become "
                    f"those of {self._meter} ({self._known_from}). Load the file without that option."
                )


def _with_stars(text: str) -> str:
    return ".*".join(re.escape(part) for part in text.split("*"))
