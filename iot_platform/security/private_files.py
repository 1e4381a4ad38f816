"""Directories of the platform's own state: nobody but its user can look into them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from iot_platform.errors import PlatformError

# Group and others get no rights on new files. Every process of the platform runs with it: commands and the webserver
# call keep_new_files_private, services/process.py passes it to child processes, deploy/entrypoint.sh sets it.
UMASK = 0o077
_MODE = 0o700
_OTHERS = 0o077
# A home of which at least one of these is there already is a home, and not somebody's directory of other things.
_OF_A_HOME = ("clickhouse", "dagster", "logs", "rejects", "outbox")


def keep_new_files_private() -> None:
    """Give no other user any rights on the files that this process and its children create from here on."""
    os.umask(UMASK)


def private_directory(path: Path) -> Path:
    """A directory that only this user can enter, made with its parents when it is missing; returns ``path``.

    One that is there and open to others (an older version made it, or a umask of 0) is closed, with all in it. Raises
    PlatformError when it belongs to another user.
    """
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=_MODE, exist_ok=True)
    for directory in missing:
        # The umask has no say in it.
        directory.chmod(_MODE)
    if stat.S_IMODE(path.stat().st_mode) & _OTHERS:
        _close(path, chain([path], _entries(path)))
    return path


def state_directory(home: Path, name: str) -> Path:
    """The private directory ``name`` in a home, which is closed as well. Raises PlatformError as private_directory."""
    _close_home(home)
    return private_directory(home / name)


def _close_home(home: Path) -> None:
    """Close the home itself as private_directory does; what else lies in it keeps its rights.

    A directory that is no home yet, and has other things in it, is left open: its subdirectories are closed.
    """
    if not home.exists():
        private_directory(home)
    is_open = stat.S_IMODE(home.stat().st_mode) & _OTHERS
    # /tmp and the like are shared on purpose.
    is_shared = home.parent == home or bool(home.stat().st_mode & stat.S_ISVTX)
    is_home = any((home / name).is_dir() for name in _OF_A_HOME) or not any(home.iterdir())
    if is_open and is_home and not is_shared:
        _close(home, [home])


def _entries(path: Path) -> Iterator[Path]:
    for directory, directories, files in os.walk(path):
        for name in [*directories, *files]:
            yield Path(directory, name)


def _close(path: Path, entries: Iterable[Path]) -> None:
    for entry in entries:
        try:
            mode = stat.S_IMODE(entry.lstat().st_mode)
            # A link has no rights of its own, and its target may be anybody's.
            if mode & _OTHERS and not entry.is_symlink():
                entry.chmod(mode & ~_OTHERS)
        except FileNotFoundError:
            # A running process has removed it.
            continue
        except PermissionError as error:
            raise PlatformError(
                f"{entry}: belongs to another user, so others may be able to read it. Nothing was written. Make "
                f"{path} a directory of the user that runs the platform, or set IOT_HOME to another one."
            ) from error
