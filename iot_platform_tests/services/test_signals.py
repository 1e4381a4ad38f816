"""Signals that stop a command: the first one begins the clean-up, and further ones do not cut it short."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from iot_platform.services import signals
from iot_platform.services.signals import STOP_SIGNALS, ignore_stop_signals, interrupt_on_stop_signals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("first", STOP_SIGNALS)
def test_signals_after_the_first_do_not_interrupt_the_clean_up(
    first: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_on_stop_signals()
    with pytest.raises(KeyboardInterrupt):
        send(first)
    for number in STOP_SIGNALS:
        send(number)
    # A clean-up that hangs can be interrupted later.
    monkeypatch.setattr(signals, "AGAIN_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        send(first)


def test_ignored_signals_do_nothing() -> None:
    interrupt_on_stop_signals()
    ignore_stop_signals()
    for number in STOP_SIGNALS:
        send(number)
