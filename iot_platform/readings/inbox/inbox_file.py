"""A file of the inbox, as a listing shows it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from iot_platform.errors import SourceError

MAPPING_NAME = "mapping.toml"
# Names under which programs write files that are not complete, or keep their own.
_UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart", "~")


class NotNowError(SourceError):
    """A file cannot be read at the moment; it is tried again."""


@dataclass(frozen=True)
class InboxFile:
    """``path``: in the inbox, with ``/``. ``location``: what opens it. ``version``: changes when it is written again.

    ``modified_at``: seconds since 1970, if the file system knows. ``problem``: why it must not be opened.
    """

    path: str
    location: str
    version: str
    size_bytes: int
    modified_at: float | None = None
    problem: str = ""


def is_ignored(path: str) -> bool:
    """Whether a path is hidden, or one of a file that is still written."""
    parts = PurePosixPath(path).parts
    return any(part.startswith(".") and part != ".." for part in parts) or path.lower().endswith(_UNFINISHED)


def split_mappings(files: Iterable[InboxFile]) -> tuple[list[InboxFile], dict[str, InboxFile]]:
    """The files of readings, oldest first, and the mapping files by their folder."""
    readings, mappings = [], {}
    for file in files:
        folder, _, name = file.path.rpartition("/")
        if name == MAPPING_NAME:
            mappings[folder] = file
        else:
            readings.append(file)
    return sorted(readings, key=lambda file: (file.modified_at or 0.0, file.path)), mappings


def mapping_of(path: str, mappings: Mapping[str, InboxFile]) -> InboxFile | None:
    """The mapping file of a file: that of its folder, or of the next folder above that has one."""
    folder = path
    while folder:
        folder = folder.rpartition("/")[0]
        if folder in mappings:
            return mappings[folder]
    return None


def listing_version(files: Iterable[InboxFile], default_mapping: str) -> str:
    """A hash that changes with any file of a listing."""
    lines = sorted(f"{file.path}\0{file.version}\0{file.problem}" for file in files)
    return hashlib.sha256("\n".join([default_mapping, *lines]).encode(errors="replace")).hexdigest()
