"""Read the XML of a Green Button file piece by piece: its entries, and the fields of each reading.

The parser is expat, with two bounds: a document type is refused, so there are no entities; and only the texts below
readings and resources are kept, up to a length.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from iot_platform.errors import SourceError
from iot_platform.readings.formats.espi_feed import Entry, path_of

CHUNK_BYTES = 1 << 18
LONGEST_TEXT = 1000
READING = "IntervalReading"
# What is read of an entry.
CONTAINERS = {READING, "UsagePoint", "MeterReading", "ReadingType"}

Fields = dict[str, str]


class EntryReader:
    """Reads the entries of a feed. ``entries``: those that ended; ``readings``: with the number of their block.

    A number counts the blocks of all entries that ended, and those of the current one. Both lists are to be emptied.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.readings: list[tuple[int, Fields]] = []
        self._blocks = 0
        self._entry = Entry()
        self._container = ""
        self._fields: Fields = {}
        self._text = ""
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = _refuse

    def end_entry(self) -> None:
        """End the current entry: also the rest of a document without entries."""
        self.entries.append(self._entry)
        self._blocks += self._entry.blocks
        self._entry = Entry()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(" ")[2]
        self._text = ""
        if self._container:
            return
        if name in CONTAINERS:
            self._container, self._fields = name, {}
        elif name == "IntervalBlock":
            self._entry.blocks += 1
        elif name == "entry":
            self._entry = Entry()
        elif name == "link":
            self._entry.add_link(attributes.get("rel", ""), path_of(attributes.get("href", "")))

    def _characters(self, text: str) -> None:
        if self._container and len(self._text) < LONGEST_TEXT:
            self._text += text[:LONGEST_TEXT]

    def _end(self, tag: str) -> None:
        name = tag.rpartition(" ")[2]
        if not self._container:
            if name == "entry":
                self.end_entry()
            return
        if name == self._container:
            if name == READING:
                self.readings.append((self._blocks + self._entry.blocks - 1, self._fields))
            else:
                self._entry.resource, self._entry.fields = name, self._fields
            self._container = ""
        elif text := self._text.strip():
            # The first of several counts.
            self._fields.setdefault(name, text)
        self._text = ""


def read_entries(file: BinaryIO, shown: Path) -> Iterator[tuple[list[Entry], list[tuple[int, Fields]]]]:
    """The entries that ended and the readings in each piece of a file, which is read from its start."""
    file.seek(0)
    reader = EntryReader()
    try:
        while piece := file.read(CHUNK_BYTES):
            reader.parser.Parse(piece, False)
            yield reader.entries, reader.readings
            reader.entries, reader.readings = [], []
        reader.parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise SourceError(f"{shown}: the XML is damaged: {error}.") from error
    except _DoctypeError as error:
        raise SourceError(f"{shown}: the XML declares a document type, which may have entities: refused.") from error
    reader.end_entry()
    yield reader.entries, reader.readings


class _DoctypeError(Exception):
    pass


def _refuse(*_: object) -> None:
    raise _DoctypeError
