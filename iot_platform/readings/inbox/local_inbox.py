"""An inbox that is a folder of this machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iot_platform.errors import SourceError
from iot_platform.readings.inbox.inbox_file import InboxFile, NotNowError, is_ignored

MOST_FILES = 100_000
MOST_FOLDERS_DEEP = 20


class LocalInbox:
    """A folder, with those in it. Links that lead out of it are not followed; others stand for a file that is there."""

    def __init__(self, path: Path) -> None:
        self._root = path.expanduser().absolute()

    @property
    def location(self) -> str:
        """The folder, as people see it."""
        return str(self._root)

    def files(self) -> list[InboxFile]:
        """All files. Raises SourceError when the folder cannot be read, or has too many of them."""
        found: list[InboxFile] = []
        try:
            root = self._root.resolve(strict=True)
            for file in self._below(root, root, ""):
                found.append(file)
                if len(found) > MOST_FILES:
                    raise SourceError(
                        f"{self.location}: more than {MOST_FILES:,} files. Nothing was loaded. Move files that were "
                        "loaded out of the inbox."
                    )
        except OSError as error:
            raise SourceError(f"{self.location}: the inbox cannot be read: {error.strerror}.") from error
        return found

    @contextmanager
    def opened(self, file: InboxFile, max_bytes: int) -> Iterator[Path]:
        """The path of a file. Raises SourceError when it is not the one that was listed any more."""
        try:
            found = os.lstat(file.location)
        except OSError as error:
            raise NotNowError(f"{file.path}: cannot be read: {error.strerror}.") from error
        if not stat.S_ISREG(found.st_mode) or _version(found) != file.version:
            raise NotNowError(f"{file.path}: the file has changed. It is loaded when it does not change any more.")
        yield Path(file.location)

    def _below(self, root: Path, folder: Path, prefix: str, depth: int = 0) -> Iterator[InboxFile]:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = f"{prefix}{entry.name}"
                if is_ignored(path):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if depth == MOST_FOLDERS_DEEP:
                        raise SourceError(f"{self.location}: folders are more than {MOST_FOLDERS_DEEP} deep.")
                    yield from self._below(root, Path(entry.path), f"{path}/", depth + 1)
                elif (file := _file(root, entry, path)) is not None:
                    yield file


def _file(root: Path, entry: os.DirEntry[str], path: str) -> InboxFile | None:
    """A file, or what must not be opened; None: a link to a file that is listed itself, or nothing any more."""
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    problem = ""
    if stat.S_ISLNK(found.st_mode):
        target = Path(os.path.realpath(entry.path))
        if target.is_relative_to(root) and target.exists():
            return None
        problem = "a link that leads out of the inbox, or to nothing. It is not followed"
    elif not stat.S_ISREG(found.st_mode):
        problem = "not a regular file"
    shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if shown != path:
        problem = "its name is not UTF-8 text"
    return InboxFile(shown, entry.path, _version(found), found.st_size, found.st_mtime, problem)


def _version(found: os.stat_result) -> str:
    # The inode: a file may be replaced by another one of the same size and time.
    return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}"
