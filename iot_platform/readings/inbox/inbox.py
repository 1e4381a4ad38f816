"""The inbox of the settings: its files, and the mapping of each."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Protocol

from iot_platform.devices.sources.source import is_url
from iot_platform.errors import SourceError
from iot_platform.readings.inbox.inbox_file import InboxFile, listing_version, mapping_of, split_mappings
from iot_platform.readings.inbox.local_inbox import LocalInbox
from iot_platform.readings.mapping_files import MOST_BYTES, MappingFile, find_mapping, parse_mapping
from iot_platform.security.private_files import state_directory
from iot_platform.settings import Settings

_LOCAL_URL = "file://"
# Where copies of files are while they are loaded, in the home.
COPIES = "inbox_copies"


class Folder(Protocol):
    """Where the files are."""

    @property
    def location(self) -> str:
        """The place, as people see it."""
        ...

    def files(self) -> list[InboxFile]:
        """All files. Raises SourceError when they cannot be listed."""
        ...

    def opened(self, file: InboxFile, max_bytes: int) -> AbstractContextManager[Path]:
        """A path at which a file can be read. Raises SourceError when it cannot."""
        ...


class Inbox:
    """One listing of the inbox. Raises SourceError when it cannot be listed, or has too many files."""

    def __init__(self, settings: Settings) -> None:
        self.folder = _folder(settings)
        self._default = settings.inbox_mapping
        listed = self.folder.files()
        self.files, self._mappings = split_mappings(listed)
        self._read: dict[str, MappingFile | str] = {}
        self.version = listing_version(listed, self._default_version)

    def mapping_version(self, file: InboxFile) -> str:
        """A text that changes with the mapping of a file."""
        own = mapping_of(file.path, self._mappings)
        return f"{own.path} {own.version}" if own else self._default_version

    def is_being_written(self, file: InboxFile, settle_s: float) -> bool:
        """Whether a file, or its mapping, was written to just now: half of a mapping file is often one, too."""
        now = time.time()
        own = mapping_of(file.path, self._mappings)
        times = [found.modified_at for found in (file, own) if found and found.modified_at is not None]
        # The clock of a file system may be ahead. Its files are not new for ever.
        return any(0 <= now - modified_at < settle_s for modified_at in times)

    def mapping(self, file: InboxFile) -> MappingFile | None:
        """The mapping of a file: mapping.toml of its folder, or of the next one above; else IOT_INBOX_MAPPING.

        Raises SourceError when it is wrong.
        """
        own = mapping_of(file.path, self._mappings)
        if own is None:
            default = self._default
            return self._checked("", lambda: find_mapping(default)) if default else None
        return self._checked(own.path, lambda: self._parsed(own))

    @cached_property
    def _default_version(self) -> str:
        if not self._default:
            return ""
        try:
            return find_mapping(self._default).version
        except SourceError as error:
            return hashlib.sha256(str(error).encode(errors="replace")).hexdigest()

    def _checked(self, key: str, read: Callable[[], MappingFile]) -> MappingFile:
        if key not in self._read:
            try:
                self._read[key] = read()
            except SourceError as error:
                self._read[key] = str(error)
        found = self._read[key]
        if isinstance(found, str):
            raise SourceError(found)
        return found

    def _parsed(self, file: InboxFile) -> MappingFile:
        if file.problem:
            raise SourceError(f"{file.path}: {file.problem}.")
        with self.folder.opened(file, MOST_BYTES) as path, path.open("rb") as content:
            return parse_mapping(content.read(MOST_BYTES + 1), file.path)


def _folder(settings: Settings) -> Folder:
    location = settings.inbox
    assert location is not None, "IOT_INBOX is not set"
    if location.startswith(_LOCAL_URL):
        return LocalInbox(Path(location.removeprefix(_LOCAL_URL)))
    if is_url(location):
        from iot_platform.readings.inbox.remote_inbox import RemoteInbox

        return RemoteInbox(location, state_directory(settings.root, COPIES))
    return LocalInbox(Path(location))
