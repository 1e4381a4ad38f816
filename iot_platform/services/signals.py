"""How commands that run until they are stopped answer Ctrl-C, ``kill`` and a closed terminal."""

from __future__ import annotations

import signal
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt_on_stop_signals() -> None:
    """Raise KeyboardInterrupt in the main thread on each of the signals, so that ``with`` blocks clean up.

    SIGINT is set as well: shells start background jobs with SIGINT ignored.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _raise_interrupt)


def ignore_stop_signals() -> None:
    """Ignore the signals from here on: a second Ctrl-C must not cut the clean-up short and leave processes behind."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _raise_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
