"""Load files of the inbox, each one by itself: one that cannot be loaded never keeps the others from being loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client

from iot_platform.errors import PlatformError, ServerError, SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.file_digest import FileDigest, digest_file
from iot_platform.readings.files.file_result import FileResult
from iot_platform.readings.files.loader import FileLoader
from iot_platform.readings.inbox.inbox import Inbox
from iot_platform.readings.inbox.inbox_file import InboxFile, NotNowError
from iot_platform.readings.inbox.inbox_memory import (
    CONTENT_DIGITS,
    MOST_ATTEMPTS,
    Entry,
    KnownFile,
    State,
    is_due,
    known_files,
    record,
    vanished,
)
from iot_platform.readings.mapping_files import resolve
from iot_platform.security.private_files import state_directory
from iot_platform.settings import Settings


@dataclass(frozen=True)
class LoadedFile:
    """What became of a file. ``result``: of one that was loaded."""

    entry: Entry
    result: FileResult | None = None


def load_due(
    client: Client, settings: Settings, inbox: Inbox, names: Iterable[str] | None, run_id: str
) -> Iterator[LoadedFile]:
    """Load the files of some paths (None: all) that are due, and yield what became of each.

    It is remembered in ClickHouse before the next one is begun. Files whose load was not completed before come last.
    Raises ServerError and ClickHouse's errors: they are no fault of a file.
    """
    known = known_files(client)
    record(client, vanished(known, inbox.files), run_id)
    wanted = None if names is None else set(names)
    due = [
        file
        for file in inbox.files
        if (wanted is None or file.path in wanted) and is_due(file, inbox.mapping_version(file), known.get(file.path))
    ]
    due.sort(key=lambda file: attempts_of(file, known.get(file.path)))
    loaders = _Loaders(client, settings)
    for file in due[: settings.inbox_files_per_run]:
        record(client, [Entry(file, inbox.mapping_version(file), "loading")], run_id)
        attempts = attempts_of(file, known.get(file.path))
        found = _load(loaders, settings, inbox, file, attempts)
        record(client, [found.entry], run_id)
        yield found


def attempts_of(file: InboxFile, known: KnownFile | None) -> int:
    """How many runs have begun to load this version of a file, and did not end it."""
    return known.attempts if known and known.version == file.version else 0


class _Loaders:
    """One loader for each mapping: it keeps the numbers of the meters."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._loaders: dict[FileOptions, FileLoader] = {}

    def of(self, options: FileOptions) -> FileLoader:
        """The loader for these options."""
        if options not in self._loaders:
            self._loaders[options] = FileLoader(
                self._client, options, batch_rows=self._settings.batch_rows, rejects=self._rejects
            )
        return self._loaders[options]

    def _rejects(self, file: FileDigest) -> Path:
        # Not the name of the file, which anybody may have chosen.
        return state_directory(self._settings.root, "rejects") / f"inbox.{file.sha256[:CONTENT_DIGITS]}.csv"


def _load(loaders: _Loaders, settings: Settings, inbox: Inbox, file: InboxFile, attempts: int) -> LoadedFile:
    mapping_version = inbox.mapping_version(file)
    try:
        if reason := _reason_to_refuse(settings, file, attempts):
            raise _FailedError(f"{file.path}: {reason}")
        options = resolve({}, inbox.mapping(file)).options
        with inbox.folder.opened(file, settings.inbox_max_bytes) as path:
            result = _result(loaders.of(options), path, file)
    except _FailedError as error:
        return LoadedFile(Entry(file, mapping_version, "failed", error.content or file.version, message=str(error)))
    except ServerError:
        raise
    except (NotNowError, PlatformError) as error:
        is_wrong = isinstance(error, SourceError) and not isinstance(error, NotNowError)
        # Other errors: for example, another process is loading the same content.
        state: State = "failed" if is_wrong else "later"
        return LoadedFile(Entry(file, mapping_version, state, file.version, message=str(error)))
    return LoadedFile(Entry(file, mapping_version, "loaded", result.source, result.source, result.mapping), result)


class _FailedError(SourceError):
    """A file that cannot be loaded. ``content``: the begin of the SHA-256 of its content, if it was read."""

    def __init__(self, message: str, content: str = "") -> None:
        super().__init__(message)
        self.content = content


def _reason_to_refuse(settings: Settings, file: InboxFile, attempts: int) -> str:
    """Why a file is not even opened; empty: it is."""
    if file.problem:
        return f"{file.problem}."
    if file.size_bytes > settings.inbox_max_bytes:
        return f"{file.size_bytes:,} bytes, more than IOT_INBOX_MAX_BYTES ({settings.inbox_max_bytes:,})."
    if attempts >= MOST_ATTEMPTS:
        return (
            f"its load was begun {attempts} times and never ended: it could not be read, or the process was killed, "
            "for example for lack of memory. It is not tried again until it is written again."
        )
    return ""


def _result(loader: FileLoader, path: Path, file: InboxFile) -> FileResult:
    try:
        result = loader.load(path)
    except SourceError as error:
        raise _FailedError(str(error).replace(str(path), file.path), _content(path)) from error
    if result.has_no_readings:
        report = f" (see {result.rejects_file})" if result.rejects_file else ""
        message = f"{file.path}: not one of its {result.rows:,} rows is a reading{report}."
        raise _FailedError(message, _content(path))
    return result


def _content(path: Path) -> str:
    try:
        return digest_file(path).sha256[:CONTENT_DIGITS]
    except SourceError:
        # It is empty, or not there any more.
        return ""
