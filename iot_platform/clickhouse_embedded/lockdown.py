"""Restrict this process with Landlock: it can open its data directory and the system files listed here, nothing else.

It can also run no program, make no TCP connection and open no port. The kernel enforces this for any SQL that the
engine runs. See docs.kernel.org/userspace-api/landlock.html.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from py_landlock import AccessFs, Landlock, LandlockError

# What the engine, Python and the C library read while they run.
_SYSTEM_DIRS = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/lib",
    "/lib64",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/proc/self/fd",
    "/proc/sys/kernel",
    "/proc/sys/vm",
)
# Not listed: environ (it may contain secrets), mem, and task, which contains both. Without auxv the engine looks for
# its content after the environment in memory, and crashes if the environment has been moved.
_OWN_FILES = tuple(
    f"/proc/self/{name}"
    for name in ("auxv", "cgroup", "io", "limits", "maps", "mountinfo", "mounts", "stat", "statm", "status")
)
_SYSTEM_FILES = (
    "/etc/host.conf",
    "/etc/hosts",  # dictionaries of this database resolve "localhost"
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/proc/cpuinfo",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/uptime",
    "/dev/urandom",
)
_READ_DIR = AccessFs.READ_FILE | AccessFs.READ_DIR
_MIN_NET_ABI = 4


@dataclass(frozen=True)
class Rights:
    """What the process may still open. All directories must exist."""

    writable_dirs: Sequence[Path]
    readable_dirs: Sequence[Path]
    writable_files: Sequence[Path]
    renames_in: Path  # files in it may be renamed and deleted, not opened


def restrict_process(rights: Rights) -> str:
    """Give up all other rights for good, in this thread and those that it starts. Call it before other threads start.

    Returns a sentence about what the kernel cannot enforce; empty: it enforces everything.
    """
    try:
        return _restrict_process(rights)
    except LandlockError as error:
        return f"This kernel cannot confine the server to its data directory (Landlock: {error})."


def _restrict_process(rights: Rights) -> str:
    landlock = Landlock(strict=False)
    abi = landlock.abi_version
    system = (*_SYSTEM_DIRS, *_SYSTEM_FILES, *_OWN_FILES, *_python_paths())
    for path in (*map(Path, system), *rights.readable_dirs):
        _allow(landlock, path, _READ_DIR)
    for file in (Path("/dev/null"), *rights.writable_files):
        _allow(landlock, file, AccessFs.READ_FILE | AccessFs.WRITE_FILE)
    for directory in rights.writable_dirs:
        landlock.allow_read_write(directory)
        landlock.add_path_rule(directory, access=AccessFs.REFER)
    landlock.add_path_rule(rights.renames_in, access=AccessFs.REMOVE_FILE | AccessFs.MAKE_REG)
    landlock.apply()
    if abi < _MIN_NET_ABI:
        return f"This kernel (Landlock {abi}) cannot block the server's TCP connections; access to files is restricted."
    return ""


def _python_paths() -> set[str]:
    """Where this interpreter's modules and shared libraries are, and this package.

    Not the whole checkout, which may contain a home.
    """
    packages = {path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")}
    return {sys.prefix, sys.base_prefix, sys.exec_prefix, *packages, str(Path(__file__).resolve().parent)}


def _allow(landlock: Landlock, path: Path, access: AccessFs) -> None:
    if not path.exists():
        return
    landlock.add_path_rule(path, access=access if path.is_dir() else access & ~AccessFs.READ_DIR)
    if path.parts[:2] == ("/", "proc"):
        # When memory is short the kernel recreates entries of /proc, and a rule is for the old entry: keep that in use.
        os.open(path, os.O_PATH | os.O_CLOEXEC)
