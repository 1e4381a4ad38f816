"""How commands that run until they are stopped answer Ctrl-C, ``kill`` and a closed terminal."""

from __future__ import annotations

import signal
import time
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# People press Ctrl-C again and again, and a closed terminal sends several signals.
AGAIN_S = 3.0


def interrupt_on_stop_signals() -> None:
    """Raise KeyboardInterrupt in the main thread on each of the signals, so that ``with`` blocks clean up.

    For AGAIN_S after it, further signals do nothing, so that they do not cut the clean-up short. SIGINT is set as well:
    shells start background jobs with SIGINT ignored.
    """
    interrupted_at: list[float] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if interrupted_at and now - interrupted_at[-1] < AGAIN_S:
            return
        interrupted_at.append(now)
        raise KeyboardInterrupt

    for each in STOP_SIGNALS:
        signal.signal(each, interrupt)


def ignore_stop_signals() -> None:
    """Ignore the signals from here on: a second Ctrl-C must not cut the clean-up short and leave processes behind."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
