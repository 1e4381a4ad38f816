"""Turn off the engine's statistics of threads, which it cannot read under Landlock.

For each piece of work of a query the engine opens ``/proc/thread-self/schedstat``. Landlock refuses that: it can allow
the files of all threads only together with the process's memory and environment. The engine then throws an exception
each time, about 150 in an insert: a quarter of the CPU of a small one. The engine has no setting for it, but it gives
up the statistics for good if its first look at the file finds none. So the path in its memory is made empty before.

Lost are the columns OSCPUVirtualTimeMicroseconds and the like in system.query_log, which were empty anyway.
"""

from __future__ import annotations

import ctypes
import importlib.util
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_LIBRARY = "_chdb.abi3.so"
_PATH = b"/proc/thread-self/schedstat"
_MAPS = Path("/proc/self/maps")
_READ, _WRITE = 1, 2  # PROT_READ, PROT_WRITE


def turn_off() -> bool:
    """Load the engine's library and make the path empty. Call it before ``import chdb``, which runs a query.

    Returns whether it was done. If not, the engine works as well, but slower.
    """
    package = importlib.util.find_spec("chdb")
    if package is None or package.origin is None or not _MAPS.exists():
        return False
    try:
        # Loaded as by chdb itself: the engine's own memory allocator goes before that of other libraries.
        ctypes.CDLL(str(Path(package.origin).with_name(_LIBRARY)), sys.getdlopenflags() | os.RTLD_DEEPBIND)
    except OSError:
        return False
    return _empty_path()


def _empty_path() -> bool:
    libc = ctypes.CDLL(None)
    libc.memmem.restype = ctypes.c_void_p
    libc.memmem.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    # The whole string: with the zero before and behind it.
    text = b"\0" + _PATH + b"\0"
    for start, stop in _constants():
        found = libc.memmem(start, stop - start, text, len(text))
        if found:
            first = found + 1
            page = first - first % mmap.PAGESIZE
            if libc.mprotect(page, mmap.PAGESIZE, _READ | _WRITE):
                return False
            # The page becomes a copy of this process; the file does not change.
            ctypes.memset(first, 0, 1)
            libc.mprotect(page, mmap.PAGESIZE, _READ)
            return True
    return False


def _constants() -> Iterator[tuple[int, int]]:
    """The parts of memory with the library's constants: mapped from its file, readable only."""
    for line in _MAPS.read_text(encoding="utf-8").splitlines():
        addresses, rights, _offset, _device, _inode, *path = line.split(maxsplit=5)
        if rights == "r--p" and path and path[0].endswith(f"/{_LIBRARY}"):
            start, _, stop = addresses.partition("-")
            yield int(start, 16), int(stop, 16)
