"""What a test may not leave behind: processes, threads, a changed environment, another working directory."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from dataclasses import dataclass

import psutil

from iot_platform.services.signals import STOP_SIGNALS

GRACE_S = 10
# What the platform reads. Libraries set variables of their own when they are imported, as pytest does with each test.
_WATCHED = re.compile("(IOT|DAGSTER)_.*|HOME|PATH|TZ")

# Threads of pools, which servers that a whole file shares start when they first need them.
_POOLS = re.compile("AnyIO worker thread|ThreadPoolExecutor-.*|asyncio_.*")


@dataclass(frozen=True)
class State:
    """What there is at one moment in this process."""

    processes: frozenset[psutil.Process]
    threads: frozenset[threading.Thread]
    environment: frozenset[tuple[str, str]]
    directory: str
    ignored_signals: frozenset[str]

    @classmethod
    def now(cls) -> State:
        """The state at this moment; processes that have ended and threads that end with the process do not count."""
        return cls(
            frozenset(psutil.Process().children()),
            frozenset(t for t in threading.enumerate() if not t.daemon and not _POOLS.fullmatch(t.name)),
            frozenset(item for item in os.environ.items() if _WATCHED.fullmatch(item[0])),
            os.getcwd(),
            frozenset(each.name for each in STOP_SIGNALS if signal.getsignal(each) is signal.SIG_IGN),
        )


def left_since(before: State) -> str:
    """What there is now and was not there before, in words; "" if there is nothing. What is ending may still end."""
    deadline = time.monotonic() + GRACE_S
    while True:
        left = _difference(before, State.now())
        if not left or time.monotonic() > deadline:
            return "; ".join(left)
        time.sleep(0.05)


def _difference(before: State, after: State) -> list[str]:
    # A browser or server that outlives the test may start and end processes of its own.
    parents = {process.pid for process in before.processes}
    new = [process for process in after.processes - before.processes if _parent(process) not in parents]
    processes = [name for process in new if (name := _name(process))]
    threads = [thread.name for thread in after.threads - before.threads]
    changed = {name for name, _ in before.environment ^ after.environment}
    left = []
    if processes:
        left.append(f"processes: {', '.join(processes)}")
    if threads:
        left.append(f"threads: {', '.join(threads)}")
    if changed:
        left.append(f"changed environment variables: {', '.join(sorted(changed))}")
    if before.directory != after.directory:
        left.append(f"working directory: {after.directory}")
    # The processes that later tests start would ignore them, too.
    if new_ignored := after.ignored_signals - before.ignored_signals:
        left.append(f"ignored signals: {', '.join(sorted(new_ignored))}")
    return left


def _parent(process: psutil.Process) -> object:
    """The number of its parent process; None when it has ended."""
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return None


def _name(process: psutil.Process) -> str:
    """The command and number of a process; "" when it has ended, or is Python's own (it stays for the next use)."""
    try:
        command = " ".join(process.cmdline())
        if process.status() == psutil.STATUS_ZOMBIE or "multiprocessing.resource_tracker" in command:
            return ""
        return f"{command} ({process.pid})"
    except psutil.NoSuchProcess:
        return ""
