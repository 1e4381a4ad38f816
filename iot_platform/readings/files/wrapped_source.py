"""A file whose rows or columns are changed while they are read: all the rest of it stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

from iot_platform.readings.files.raw_rows import Fact, RowSource
from iot_platform.readings.files.unended_line import UnendedLine


class WrappedSource:
    """The base of sources that read another one. They have ``column_names`` and ``rows`` of their own.

    ``format``: that of the other source; it may be replaced.
    """

    def __init__(self, source: RowSource) -> None:
        self._source = source
        self.place_name = source.place_name
        self.format = source.format

    @property
    def unended_line(self) -> UnendedLine | None:
        """The last line of the file, if it has no line end."""
        return self._source.unended_line

    @property
    def facts(self) -> Sequence[Fact]:
        """What the file was taken for."""
        return self._source.facts

    @property
    def encoding(self) -> str:
        """The encoding of the text."""
        return self._source.encoding

    def progress(self) -> float:
        """Share of the file that has been read, from 0 to 1."""
        return self._source.progress()

    def close(self) -> None:
        """Close the file."""
        self._source.close()
