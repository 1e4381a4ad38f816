"""Identify a file by its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from iot_platform.errors import SourceError
from iot_platform.readings.files.input_file import InputFile


@dataclass(frozen=True)
class FileDigest:
    """A file, the SHA-256 of its bytes in hexadecimal digits, and its size."""

    file: InputFile
    sha256: str
    size_bytes: int


def digest_file(file: Path | InputFile) -> FileDigest:
    """The digest of a file. Raises SourceError when it cannot be read or is empty."""
    known = InputFile.of(file)
    try:
        with known.path.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
            size = opened.tell()
    except OSError as error:
        raise SourceError(f"{known.shown}: cannot be read: {error.strerror}.") from error
    if not size:
        raise SourceError(f"{known.shown}: the file is empty.")
    return FileDigest(known, sha256, size)
