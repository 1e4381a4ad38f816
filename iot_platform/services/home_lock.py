"""One platform per home: two daemons on one storage would start each run twice."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from iot_platform.errors import PlatformError
from iot_platform.security.private_files import state_directory
from iot_platform.settings import Settings


@contextmanager
def only_platform(settings: Settings) -> Iterator[None]:
    """Hold the home for this process; the kernel releases it even after kill -9.

    Raises PlatformError when another process holds it.
    """
    path = state_directory(settings.root, "dagster") / "platform.lock"
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise PlatformError(
                f"The platform of {settings.root} is already running (process {lock.read().strip() or 'unknown'}). "
                "Stop it first, or set IOT_HOME to another directory."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
