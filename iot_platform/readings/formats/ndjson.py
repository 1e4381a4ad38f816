"""NDJSON (JSON Lines): one object a line. Members of nested objects are columns with a dotted name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa

from iot_platform.errors import SourceError
from iot_platform.readings.files.content import Stream, numbered_lines
from iot_platform.readings.files.file_format import FileFormat
from iot_platform.readings.files.raw_rows import Column, PlainSource, RawRows, Reject

# Not settings: the first lines decide about the columns, and pieces about a file's windows (windows.py).
HEADER_LINES = 1000
PIECE_LINES = 50_000
DEEPEST = 5
NO_OBJECT = "no_json_object"

Record = dict[str, Any]


class _Number(str):
    """The digits of a JSON number: an id of many digits, or in scientific notation, is seen as it is written."""

    __slots__ = ()


_DECODER = json.JSONDecoder(parse_float=_Number, parse_int=_Number)


class NdjsonRowSource(PlainSource):
    """A file with one JSON object a line. The columns are the names in the first lines. Blank lines are ignored."""

    place_name = "line"

    def __init__(self, stream: Stream, recognised_by: str) -> None:
        self.format = FileFormat("NDJSON", recognised_by, key="ndjson")
        self._stream = stream
        self._lines = ((place, text) for place, text in numbered_lines(stream) if text.strip())
        self._first = list(islice(self._lines, HEADER_LINES))
        names: dict[str, None] = {}
        for _, text in self._first:
            names |= dict.fromkeys(_record(text) or {})
        if not names:
            raise SourceError(f"{stream.path}: no line is a JSON object with a member.")
        self.column_names = list(names)

    def rows(self, columns: list[str]) -> Iterator[RawRows]:
        """All rows; places are line numbers."""
        lines = chain(self._first, self._lines)
        self._first = []
        while piece := list(islice(lines, PIECE_LINES)):
            records = [(place, text, _record(text)) for place, text in piece]
            good = [(place, text, record) for place, text, record in records if record is not None]
            yield RawRows(
                {name: _column([record.get(name) for _, _, record in good]) for name in columns},
                np.array([place for place, _, _ in good], dtype=np.int64),
                [Reject(place, NO_OBJECT, _shown(text)) for place, text, record in records if record is None],
                _Texts([text for _, text, _ in good]).text,
            )

    def progress(self) -> float:
        """Share of the file that has been read, from 0 to 1."""
        return self._stream.progress()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class _Texts:
    def __init__(self, texts: list[bytes]) -> None:
        self._texts = texts

    def text(self, index: int) -> str:
        return _shown(self._texts[index])


def _record(text: bytes) -> Record | None:
    """The members of a line, or None if it is no object."""
    try:
        value = _DECODER.decode(text.decode())
    except (ValueError, RecursionError):
        return None
    return dict(_members(value)) if isinstance(value, dict) else None


def _members(value: Record, prefix: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    for name, member in value.items():
        if isinstance(member, dict) and depth < DEEPEST:
            yield from _members(member, f"{prefix}{name}.", depth + 1)
        else:
            yield f"{prefix}{name}", member


def _column(values: Sequence[Any]) -> Column:
    """Values as texts, numbers as they are written: what an id or a value means must not depend on its neighbours."""
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str) else json.dumps(value)


def _shown(text: bytes) -> str:
    return text.decode(errors="backslashreplace")
