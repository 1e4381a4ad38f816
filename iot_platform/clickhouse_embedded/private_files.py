"""Create directories that only the user of the server can enter."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from iot_platform.clickhouse_embedded.errors import EmbeddedServerError

_MODE = 0o700
_OTHERS = 0o077


def private_directory(path: Path) -> Path:
    """Create the directory and its missing parents with mode 0700; returns ``path``.

    If other users may enter an existing directory, their permissions are removed from it and from everything in it.
    Raises EmbeddedServerError when it belongs to another user.
    """
    for directory in reversed([path, *path.parents]):
        if not directory.exists():
            directory.mkdir(mode=_MODE, exist_ok=True)
            directory.chmod(_MODE)  # the umask may have removed rights of the owner, too
    if stat.S_IMODE(path.stat().st_mode) & _OTHERS:
        for entry in (path, *_entries(path)):
            _make_private(entry, path)
    return path


def _entries(path: Path) -> Iterator[Path]:
    for directory, directories, files in os.walk(path):
        for name in (*directories, *files):
            yield Path(directory, name)


def _make_private(entry: Path, path: Path) -> None:
    try:
        mode = stat.S_IMODE(entry.lstat().st_mode)
        # A link has no permissions of its own, and its target may be any file.
        if mode & _OTHERS and not entry.is_symlink():
            entry.chmod(mode & ~_OTHERS)
    except FileNotFoundError:
        return  # a running process has removed it
    except PermissionError as error:
        raise EmbeddedServerError(
            f"{entry}: belongs to another user, who may be able to read it. Nothing was written. Use a directory of "
            f"the user that runs the server, instead of {path}."
        ) from error
