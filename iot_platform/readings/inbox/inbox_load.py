"""Load files of the inbox: one that cannot be loaded never keeps the others from being loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
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
    is_due,
    known_files,
    record,
    vanished,
)
from iot_platform.readings.mapping_files import resolve
from iot_platform.security.private_files import state_directory
from iot_platform.settings import Settings

# Files of an object store are copied to the disk as long as they are loaded.
MOST_BYTES_TOGETHER = 1 << 30


@dataclass(frozen=True)
class LoadedFile:
    """What became of a file. ``result``: of one that was loaded."""

    entry: Entry
    result: FileResult | None = None


def load_due(
    client: Client, settings: Settings, inbox: Inbox, paths: Iterable[str] | None, run_id: str
) -> Iterator[LoadedFile]:
    """Load the files of some paths (None: all) that are due, and yield what became of each.

    It is remembered in ClickHouse before more files are begun. Files whose load was begun before and did not end come
    last, each by itself: one of them may have killed its process. Raises ServerError: it is no fault of a file.
    """
    known = known_files(client)
    record(client, vanished(known, inbox.files), run_id)
    wanted = None if paths is None else set(paths)
    due = [
        file
        for file in inbox.files
        if (wanted is None or file.path in wanted)
        and is_due(file, inbox.mapping_version(file), known.get(file.path))
        and not inbox.is_being_written(file, settings.inbox_settle_s)
    ]
    attempts = {file.path: attempts_of(file, known.get(file.path)) for file in due}
    due.sort(key=lambda file: attempts[file.path])
    loader = _InboxLoader(client, settings, inbox)
    for group in _groups(due[: settings.inbox_files_per_run], attempts):
        record(client, [Entry(file, inbox.mapping_version(file), "loading") for file in group], run_id)
        found, error = loader.load(group, attempts)
        record(client, [file.entry for file in found], run_id)
        yield from found
        if error is not None:
            raise error


def attempts_of(file: InboxFile, known: KnownFile | None) -> int:
    """How many runs have begun to load this version of a file, and did not end it."""
    return known.attempts if known and known.version == file.version else 0


def _groups(files: Sequence[InboxFile], attempts: dict[str, int]) -> Iterator[list[InboxFile]]:
    """The files that are loaded together."""
    group: list[InboxFile] = []
    for file in files:
        size = sum(other.size_bytes for other in group) + file.size_bytes
        if group and (attempts[file.path] or size > MOST_BYTES_TOGETHER):
            yield group
            group = []
        group.append(file)
    if group:
        yield group


class _InboxLoader:
    """Loads files with one loader for each mapping: it keeps the numbers of the meters."""

    def __init__(self, client: Client, settings: Settings, inbox: Inbox) -> None:
        self._client = client
        self._settings = settings
        self._inbox = inbox
        self._loaders: dict[FileOptions, FileLoader] = {}

    def load(self, files: Sequence[InboxFile], attempts: dict[str, int]) -> tuple[list[LoadedFile], ServerError | None]:
        """What became of files; and the error for which the rest was not loaded."""
        found: list[LoadedFile] = []
        opened: dict[FileOptions, list[tuple[InboxFile, Path]]] = {}
        with ExitStack() as stack:
            for file in files:
                try:
                    if reason := _reason_to_refuse(self._settings, file, attempts[file.path]):
                        raise SourceError(f"{file.path}: {reason}")
                    options = resolve({}, self._inbox.mapping(file)).options
                    path = stack.enter_context(self._inbox.folder.opened(file, self._settings.inbox_max_bytes))
                except SourceError as error:
                    found.append(self._not_loaded(file, error, None))
                else:
                    opened.setdefault(options, []).append((file, path))
            for options, of_mapping in opened.items():
                for (file, path), outcome in zip(
                    of_mapping, self._outcomes(options, [path for _, path in of_mapping]), strict=False
                ):
                    if isinstance(outcome, ServerError):
                        return found, outcome
                    found.append(
                        self._loaded(file, path, outcome)
                        if isinstance(outcome, FileResult)
                        else self._not_loaded(file, outcome, path)
                    )
        return found, None

    def _outcomes(self, options: FileOptions, paths: Sequence[Path]) -> Iterator[FileResult | PlatformError]:
        """The result of each file, or its error."""
        if options not in self._loaders:
            self._loaders[options] = FileLoader(
                self._client, options, batch_rows=self._settings.batch_rows, rejects=self._rejects
            )
        for path in paths:
            try:
                yield self._loaders[options].load(path)
            except PlatformError as error:
                yield error

    def _loaded(self, file: InboxFile, path: Path, result: FileResult) -> LoadedFile:
        if result.has_no_readings:
            report = f" (see {result.rejects_file})" if result.rejects_file else ""
            message = f"{file.path}: not one of its {result.rows:,} rows is a reading{report}."
            return self._not_loaded(file, SourceError(message), path)
        version = self._inbox.mapping_version(file)
        return LoadedFile(Entry(file, version, "loaded", result.source, result.source, result.mapping), result)

    def _not_loaded(self, file: InboxFile, error: PlatformError, path: Path | None) -> LoadedFile:
        # Other errors: for example, another process is loading the same content.
        is_wrong = isinstance(error, SourceError) and not isinstance(error, NotNowError)
        content = (_content(path) if path and is_wrong else "") or file.version
        message = str(error).replace(str(path), file.path) if path else str(error)
        version = self._inbox.mapping_version(file)
        return LoadedFile(Entry(file, version, "failed" if is_wrong else "later", content, message=message))

    def _rejects(self, file: FileDigest) -> Path:
        # Not the name of the file, which anybody may have chosen.
        return state_directory(self._settings.root, "rejects") / f"inbox.{file.sha256[:CONTENT_DIGITS]}.csv"


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


def _content(path: Path) -> str:
    try:
        return digest_file(path).sha256[:CONTENT_DIGITS]
    except SourceError:
        # It is empty, or not there any more.
        return ""
