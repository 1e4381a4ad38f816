"""What the platform remembers of the inbox's files, in ClickHouse (table inbox_files)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.rows import insert_rows
from iot_platform.readings.inbox.inbox_file import InboxFile

State = Literal["loading", "loaded", "failed", "later", "gone"]
TABLE = "inbox_files"
CONTENT_DIGITS = 16
# A file whose load was begun so often without an end has killed its process, or cannot be read.
MOST_ATTEMPTS = 5

# ``attempts``: runs that began to load this version since it was loaded or failed.
_KNOWN = """
SELECT
    path,
    argMax(version, recorded_at) AS newest,
    argMax(mapping_version, recorded_at),
    argMax(toString(state), recorded_at),
    argMax(content, recorded_at),
    argMax(message, recorded_at),
    max(recorded_at),
    maxIf(recorded_at, state IN ('loaded', 'failed', 'gone')) AS ended_at,
    length(arrayDistinct(arrayMap(begun -> begun.3, arrayFilter(
        begun -> begun.1 > ended_at AND begun.2 = newest,
        groupArrayIf((recorded_at, version, run_id), state = 'loading')
    ))))
FROM inbox_files
GROUP BY path
"""


@dataclass(frozen=True)
class KnownFile:
    """The newest that is known of a path."""

    path: str
    version: str
    mapping_version: str
    state: State
    content: str
    message: str
    recorded_at: dt.datetime
    attempts: int


@dataclass(frozen=True)
class Entry:
    """What becomes of a file."""

    file: InboxFile
    mapping_version: str
    state: State
    content: str = ""
    source: str = ""
    message: str = ""


def known_files(client: Client) -> dict[str, KnownFile]:
    """All paths that were ever in the inbox."""
    rows = client.query(_KNOWN).result_rows
    return {
        path: KnownFile(path, version, mapping, state, content, message, recorded_at.replace(tzinfo=dt.UTC), attempts)
        for path, version, mapping, state, content, message, recorded_at, _, attempts in rows
    }


def record(client: Client, entries: Iterable[Entry], run_id: str) -> None:
    """Remember what became of files."""
    columns = ("path", "version", "mapping_version", "state", "content", "source", "message", "run_id")
    rows = [
        (e.file.path, e.file.version, e.mapping_version, e.state, e.content, e.source, e.message, run_id)
        for e in entries
    ]
    if rows:
        insert_rows(client, TABLE, rows, columns)


def is_due(file: InboxFile, mapping_version: str, known: KnownFile | None) -> bool:
    """Whether a file is new, was changed, or failed with another mapping; or whether its load was not completed."""
    if known is None or known.version != file.version:
        return True
    if known.state == "failed":
        return known.mapping_version != mapping_version
    return known.state != "loaded"


def failing(known: Mapping[str, KnownFile]) -> list[KnownFile]:
    """The files that failed and are still there, the longest first."""
    found = [file for file in known.values() if file.state == "failed"]
    return sorted(found, key=lambda file: (file.recorded_at, file.path))


def vanished(known: Mapping[str, KnownFile], files: Iterable[InboxFile]) -> list[Entry]:
    """Files that failed, or were not completed, and are not there any more."""
    there = {file.path for file in files}
    return [
        Entry(InboxFile(path, "", file.version, 0), file.mapping_version, "gone")
        for path, file in known.items()
        if path not in there and file.state not in ("loaded", "gone")
    ]
