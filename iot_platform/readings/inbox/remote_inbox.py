"""An inbox in an object store, or in another file system that fsspec knows."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec.core import url_to_fs

from iot_platform.devices.sources.source import without_secrets
from iot_platform.errors import SourceError
from iot_platform.readings.inbox.inbox_file import InboxFile, NotNowError, is_ignored
from iot_platform.readings.inbox.local_inbox import MOST_FILES

CHUNK_BYTES = 1 << 20
LONGEST_NAME = 200
# What file systems call the time of the last change, and what else changes with the content.
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
_MARKS = ("ETag", "etag", "md5Hash", "content_md5", "generation", "version_id", "checksum")


class RemoteInbox:
    """A URL of fsspec, such as s3://bucket/inbox. Files are copied to ``temporary`` (private) while they are loaded."""

    def __init__(self, url: str, temporary: Path) -> None:
        self._url = url
        self._temporary = temporary

    @property
    def location(self) -> str:
        """The URL, without its secret parts."""
        return without_secrets(self._url)

    def files(self) -> list[InboxFile]:
        """All files below the URL. Raises SourceError when they cannot be listed, or are too many."""
        try:
            # A listing that fsspec keeps would never show a new file.
            files, root = url_to_fs(self._url)
            files.invalidate_cache()
            if not files.isdir(root):
                raise SourceError(f"{self.location}: the inbox is not there, or is not a folder.")
            listed: Mapping[str, Mapping[str, Any]] = files.find(root, detail=True)
        except SourceError:
            raise
        except Exception as error:  # noqa: BLE001 - each file system has its own errors
            # Their texts may contain secrets of the URL.
            raise SourceError(f"{self.location}: the inbox cannot be listed ({type(error).__name__}).") from None
        if len(listed) > MOST_FILES:
            raise SourceError(
                f"{self.location}: more than {MOST_FILES:,} files. Nothing was loaded. Move files that were loaded out "
                "of the inbox."
            )
        prefix = root.rstrip("/") + "/"
        found = [_file(name.removeprefix(prefix), name, facts) for name, facts in listed.items()]
        return [file for file in found if not is_ignored(file.path)]

    @contextmanager
    def opened(self, file: InboxFile, max_bytes: int) -> Iterator[Path]:
        """A private copy of a file, which is removed afterwards. Raises SourceError when it is too large."""
        with tempfile.TemporaryDirectory(dir=self._temporary) as folder:
            path = Path(folder, _local_name(file.path))
            try:
                files, _ = url_to_fs(self._url)
                with files.open(file.location, "rb") as source, path.open("xb") as target:
                    size = 0
                    while piece := source.read(CHUNK_BYTES):
                        size += len(piece)
                        if size > max_bytes:
                            raise SourceError(f"{file.path}: more than {max_bytes:,} bytes (IOT_INBOX_MAX_BYTES).")
                        target.write(piece)
            except SourceError:
                raise
            except Exception as error:  # noqa: BLE001 - each file system has its own errors
                raise NotNowError(f"{file.path}: cannot be read ({type(error).__name__}).") from None
            if size != file.size_bytes:
                raise NotNowError(f"{file.path}: the file has changed. It is loaded when it does not change any more.")
            yield path


def _file(path: str, location: str, facts: Mapping[str, Any]) -> InboxFile:
    times = [facts[name] for name in _TIMES if facts.get(name) is not None]
    marks = [str(facts[name]) for name in (*_TIMES, *_MARKS) if facts.get(name) is not None]
    size = int(facts.get("size") or 0)
    problem = "its path has .. in it" if ".." in PurePosixPath(path).parts else ""
    version = f"{size}-{hashlib.sha256(' '.join(marks).encode(errors='replace')).hexdigest()[:32]}"
    return InboxFile(path, location, version, size, _seconds(times[0]) if times else None, problem)


def _seconds(time: object) -> float | None:
    if isinstance(time, datetime):
        return time.timestamp()
    return float(time) if isinstance(time, int | float) else None


def _local_name(path: str) -> str:
    """A file name without anything that a local file system, or a message, could stumble over; its end is kept."""
    name = re.sub(r"[^\w.() +-]", "_", path.rpartition("/")[2])[-LONGEST_NAME // 2 :]
    return name if name.strip(". ") else "file"
