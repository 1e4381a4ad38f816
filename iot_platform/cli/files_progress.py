"""The progress of a command that reads several files, as one bar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from iot_platform.readings.files.input_file import InputFile
from iot_platform.security.escaping import escape_lines


def progress_bar() -> Progress:
    """A bar on standard error, which is shown only on a terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


class FilesProgress:
    """Moves a bar: call it with a file and the share of it that is done. Files count by their size."""

    def __init__(self, progress: Progress, files: Sequence[Path]) -> None:
        self._progress = progress
        self._sizes = {path: _size(path) for path in files}
        self._shares: dict[Path, float] = {}
        self._done = 0.0
        self._task = progress.add_task("", total=sum(self._sizes.values()))

    def expand(self, path: Path, files: Sequence[InputFile]) -> None:
        """Count the files in an archive instead of the archive."""
        self._sizes.pop(path, None)
        self._sizes |= {file.shown: _size(file.path) for file in files}
        self._progress.update(self._task, total=sum(self._sizes.values()))

    def __call__(self, path: Path, share: float) -> None:
        before = self._shares.get(path, 0.0)
        self._shares[path] = max(share, before)
        # Those of an archive are not among the files of the command.
        self._done += self._sizes.get(path, 0) * (self._shares[path] - before)
        self._progress.update(self._task, completed=self._done, description=escape_lines(path.name))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        # Its error is told when it is read.
        return 0
