"""Run one command and measure it alone: ``python launcher.py RESULT.json COMMAND...``.

A process of its own, because the kernel lets a child's peak memory begin at that of the process that started it: a
child of the benchmark, which holds large batches, would never be seen below them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main() -> int:
    """Write wall seconds, CPU seconds and peak resident bytes of the command to the file; return its exit code."""
    result, command = Path(sys.argv[1]), sys.argv[2:]
    started = time.monotonic()
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    figures = {
        "seconds": time.monotonic() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        # The kernel reports KiB on Linux, bytes on macOS.
        "peak_memory_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    result.write_text(json.dumps(figures), encoding="utf-8")
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
