"""A file to read: where its bytes are, and what people call it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class InputFile:
    """A file. ``shown``: its path for messages, such as ``archive.zip/member.csv`` for a member of an archive.

    ``name``: the short name that ``iot-platform loads`` shows.
    """

    path: Path
    shown: Path
    name: str

    @classmethod
    def of(cls, file: Path | InputFile) -> InputFile:
        """The file of a path."""
        return file if isinstance(file, InputFile) else cls(file, file, file.name)
