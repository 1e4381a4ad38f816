"""server.json: which process serves a directory, and at which address. Clients read it to find the server."""

from __future__ import annotations

import datetime as dt
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import psutil

_CLOCK_TOLERANCE_S = 2.0


@dataclass(frozen=True)
class ServerRecord:
    """A running server: its process and its address."""

    pid: int
    create_time: float  # of the process, in seconds since 1970
    host: str
    port: int
    started_at: str

    @property
    def url(self) -> str:
        """The address as the server bound it."""
        return f"http://{bracketed(self.host)}:{self.port}"


def read_record(path: Path) -> ServerRecord | None:
    """The record in the file; None when there is none, or when its process has ended."""
    try:
        record = ServerRecord(**json.loads(path.read_text()))
        # Process ids are reused. The start time shows whether it is still the same process.
        process = psutil.Process(record.pid)
        is_same = abs(process.create_time() - record.create_time) < _CLOCK_TOLERANCE_S
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
    return record if is_same and not has_ended(process) else None


def write_record(draft: IO[str], path: Path, host: str, port: int) -> None:
    """Write the record of this process into ``draft``, an open file beside ``path``, and rename it to ``path``."""
    record = ServerRecord(
        pid=os.getpid(),
        create_time=psutil.Process().create_time(),
        host=host,
        port=port,
        started_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    )
    draft.write(json.dumps(asdict(record)) + "\n")
    draft.flush()
    os.replace(draft.name, path)


def has_ended(process: psutil.Process) -> bool:
    """Whether the process is gone, or a zombie that its parent has not collected yet."""
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def bracketed(host: str) -> str:
    """The host as in a URL: IPv6 addresses are in brackets."""
    return f"[{host}]" if ":" in host else host
