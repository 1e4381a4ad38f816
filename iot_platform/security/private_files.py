"""Keep the platform's files private: only its own user can read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from iot_platform.errors import PlatformError

# Group and others get no permissions on new files. Every process of the platform runs with this umask: commands and the
# webserver call keep_new_files_private, services/process.py passes it to child processes, deploy/entrypoint.sh sets it.
UMASK = 0o077
_MODE = 0o700
_OTHERS = 0o077
# A directory that contains at least one of these is a home of the platform.
_HOME_DIRECTORIES = ("clickhouse", "dagster", "logs", "rejects", "outbox")


def keep_new_files_private() -> None:
    """Give other users no permissions on the files that this process and its children create from now on."""
    os.umask(UMASK)


def private_directory(path: Path) -> Path:
    """Make sure that ``path`` is a directory that only this user can enter; returns ``path``.

    A missing directory is created, with its parents. If other users have permissions on an existing one (from an
    older version or a umask of 0), these are removed from it and from all its content. Raises PlatformError when it
    belongs to another user.
    """
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=_MODE, exist_ok=True)
    for directory in missing:
        # mkdir applies the umask to the mode; chmod does not.
        directory.chmod(_MODE)
    if stat.S_IMODE(path.stat().st_mode) & _OTHERS:
        _make_private(path, chain([path], _entries(path)))
    return path


def state_directory(home: Path, name: str) -> Path:
    """Make sure that a home and its directory ``name`` are private; returns the directory.

    Raises PlatformError when one of them belongs to another user.
    """
    _make_home_private(home)
    return private_directory(home / name)


def _make_home_private(home: Path) -> None:
    """Make the home itself private, but not its content.

    A directory that had other content before it became a home keeps its permissions: only the platform's directories
    in it become private.
    """
    if not home.exists():
        private_directory(home)
    is_open = stat.S_IMODE(home.stat().st_mode) & _OTHERS
    # Directories such as /tmp are shared on purpose.
    is_shared = home.parent == home or bool(home.stat().st_mode & stat.S_ISVTX)
    is_home = any((home / name).is_dir() for name in _HOME_DIRECTORIES) or not any(home.iterdir())
    if is_open and is_home and not is_shared:
        _make_private(home, [home])


def _entries(path: Path) -> Iterator[Path]:
    for directory, directories, files in os.walk(path):
        for name in [*directories, *files]:
            yield Path(directory, name)


def _make_private(path: Path, entries: Iterable[Path]) -> None:
    for entry in entries:
        try:
            mode = stat.S_IMODE(entry.lstat().st_mode)
            # A link has no permissions of its own, and its target may be any file.
            if mode & _OTHERS and not entry.is_symlink():
                entry.chmod(mode & ~_OTHERS)
        except FileNotFoundError:
            # A running process has just removed it.
            continue
        except PermissionError as error:
            raise PlatformError(
                f"{entry}: belongs to another user, so others may be able to read it. Nothing was written. Make "
                f"{path} a directory of the user that runs the platform, or set IOT_HOME to another one."
            ) from error
