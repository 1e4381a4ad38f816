"""Identify a file by its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from iot_platform.errors import SourceError


@dataclass(frozen=True)
class FileDigest:
    """A file's path, the SHA-256 of its bytes in hexadecimal digits, and its size."""

    path: Path
    sha256: str
    size_bytes: int


def digest_file(path: Path) -> FileDigest:
    """The digest of a file. Raises SourceError when it cannot be read or is empty."""
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}.") from error
    if not size:
        raise SourceError(f"{path}: the file is empty.")
    return FileDigest(path, sha256, size)
