"""Load files of the inbox: one that cannot be loaded never keeps the others from being loaded."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from iot_platform.errors import PlatformError, ServerError, SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.file_digest import FileDigest, digest_file
from iot_platform.readings.files.file_result import FileResult
from iot_platform.readings.files.input_file import InputFile
from iot_platform.readings.files.loader import FileLoader
from iot_platform.readings.formats.archives import expand
from iot_platform.readings.group_commit import BatchError
from iot_platform.readings.inbox.inbox import COPIES, Inbox
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

# A run that is killed has to load so much again.
MOST_BYTES_TOGETHER = 1 << 30
MOST_ERRORS_SHOWN = 5
# Longer than a run may take.
OLD_S = 86_400


@dataclass(frozen=True)
class LoadedFile:
    """What became of a file. ``results``: of the file, or of those in it that were loaded if it is an archive."""

    entry: Entry
    results: tuple[FileResult, ...] = ()


def load_due(
    client: Client, settings: Settings, inbox: Inbox, paths: Iterable[str] | None, run_id: str
) -> Iterator[LoadedFile]:
    """Load the files of some paths (None: all) that are due, and yield what became of each.

    It is remembered in ClickHouse before more files are begun. Files whose load was begun before and did not end come
    last, each by itself: one of them may have killed its process. Raises ServerError and ClickHouse's errors: they are
    no fault of a file.
    """
    remove_old_copies(settings)
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
        self._copies = state_directory(settings.root, COPIES)

    def load(
        self, files: Sequence[InboxFile], attempts: dict[str, int]
    ) -> tuple[list[LoadedFile], ServerError | ClickHouseError | None]:
        """What became of files; and the error for which the rest was not loaded."""
        found: list[LoadedFile] = []
        of_mapping: dict[FileOptions, list[InboxFile]] = {}
        for file in files:
            try:
                if reason := _reason_to_refuse(self._settings, file, attempts[file.path]):
                    raise SourceError(f"{file.path}: {reason}")
                of_mapping.setdefault(resolve({}, self._inbox.mapping(file)).options, []).append(file)
            except SourceError as error:
                found.append(self._judged(file, "", [error]))
        for options, wanted in of_mapping.items():
            opened, outcomes = self._outcomes(options, wanted)
            for file in wanted:
                content, members = opened[file.path]
                of_file = [members] if isinstance(members, PlatformError) else [next(outcomes) for _ in range(members)]
                for outcome in of_file:
                    if isinstance(outcome, ServerError | ClickHouseError):
                        return found, outcome
                found.append(self._judged(file, content, of_file))
        return found, None

    def _outcomes(
        self, options: FileOptions, files: Sequence[InboxFile]
    ) -> tuple[dict[str, tuple[str, int | PlatformError]], Iterator[FileResult | BatchError]]:
        """For each path its content, and its number of files (an archive has several) or why it could not be opened.

        Then the outcomes of all these files, in their order.
        """
        opened: dict[str, tuple[str, int | PlatformError]] = {}

        def inputs() -> Iterator[InputFile]:
            # One at a time: what an archive contains is removed when the loader asks for the next file.
            for file in files:
                with ExitStack() as stack:
                    try:
                        path = stack.enter_context(self._inbox.folder.opened(file, self._settings.inbox_max_bytes))
                    except SourceError as error:
                        opened[file.path] = "", error
                        continue
                    content = _content(path)
                    folder = Path(stack.enter_context(TemporaryDirectory(dir=self._copies)))
                    try:
                        members = [_called(file, path, member) for member in expand(path, folder)]
                    except SourceError as error:
                        opened[file.path] = content, SourceError(str(error).replace(str(path), file.path))
                        continue
                    opened[file.path] = content, len(members)
                    yield from members

        if options not in self._loaders:
            self._loaders[options] = FileLoader(
                self._client, options, batch_rows=self._settings.batch_rows, rejects=self._rejects
            )
        outcomes = self._loaders[options].load_files(inputs())
        return opened, iter([outcome for _, outcome in outcomes])

    def _judged(self, file: InboxFile, content: str, outcomes: Sequence[FileResult | BatchError]) -> LoadedFile:
        """What became of a file, from the outcomes of its members."""
        results = [outcome for outcome in outcomes if isinstance(outcome, FileResult)]
        errors = [outcome for outcome in outcomes if not isinstance(outcome, FileResult)]
        errors += [SourceError(_without_readings(result)) for result in results if result.has_no_readings]
        # Other errors: for example, another process is loading the same content.
        wrong = [error for error in errors if isinstance(error, SourceError | ValueError)]
        wrong = [error for error in wrong if not isinstance(error, NotNowError)]
        state: State = "failed" if wrong else "later" if errors else "loaded"
        shown = (wrong or errors)[:MOST_ERRORS_SHOWN]
        message = " ".join(map(str, shown)) if errors else "; ".join(result.mapping for result in results)
        if len(wrong) > len(shown):
            message += f" ({len(wrong):,} of the {len(outcomes):,} files in it were not loaded.)"
        source = results[0].source if len(results) == 1 else ""
        version = self._inbox.mapping_version(file)
        entry = Entry(file, version, state, content or file.version, source, message)
        return LoadedFile(entry, tuple(result for result in results if not result.has_no_readings))

    def _rejects(self, file: FileDigest) -> Path:
        # Not the name of the file, which anybody may have chosen.
        return state_directory(self._settings.root, "rejects") / f"inbox.{file.sha256[:CONTENT_DIGITS]}.csv"


def _called(file: InboxFile, path: Path, member: InputFile) -> InputFile:
    """A file, or a member of an archive, called by its path in the inbox."""
    inside = member.shown.relative_to(path)
    shown = Path(file.path, inside)
    return InputFile(member.path, shown, str(Path(PurePosixPath(file.path).name, inside)))


def _without_readings(result: FileResult) -> str:
    report = f" (see {result.rejects_file})" if result.rejects_file else ""
    return f"{result.file}: not one of its {result.rows:,} rows is a reading{report}."


def remove_old_copies(settings: Settings) -> None:
    """Remove copies of files that processes which were killed have left."""
    for folder in state_directory(settings.root, COPIES).iterdir():
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > OLD_S:
                shutil.rmtree(folder, ignore_errors=True)


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
