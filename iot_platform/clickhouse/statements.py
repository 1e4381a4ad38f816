"""Read the .sql files and split them into statements."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from iot_platform.clickhouse_embedded.lexer import tokens
from iot_platform.errors import MigrationError

# What the first line of a file may say; see Migration.
NEEDS = "-- needs the setting "
TOGETHER = "-- together with "
WITH_NEXT = "-- recorded with the next file"
ANY_SIZE = "-- replaces tables of any size"

_THROW_IF = re.compile(r"SELECT throwIf\(.*?, '(.*?)'\)\s+FROM\s", re.DOTALL)


@dataclass(frozen=True)
class Guard:
    """What a migration waits for: until ``query`` finds no rows. ``message``: for people."""

    message: str
    query: str


@dataclass(frozen=True)
class Migration:
    """One numbered file of sql/."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the text in hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def needs(self) -> str | None:
        """The setting of ClickHouse that the file needs, from its first line ``-- needs the setting NAME``; or None.

        A server without it leaves the file out, and gets it after an update.
        """
        return self._first_line_after(NEEDS)

    @property
    def together_with(self) -> str | None:
        """The file that this one belongs to, from its first line ``-- together with NAME``; or None.

        It is applied directly after that file, before its guards, and recorded with it.
        """
        return self._first_line_after(TOGETHER)

    @property
    def is_recorded_with_next(self) -> bool:
        """Whether the file is recorded as applied together with the next one. Until then older versions still run."""
        return self._first_line_after(WITH_NEXT) is not None

    @property
    def is_of_any_size(self) -> bool:
        """Whether the file may drop tables that are larger than the server lets be dropped by accident."""
        return self._first_line_after(ANY_SIZE) is not None

    def _first_line_after(self, prefix: str) -> str | None:
        first = self.text.split("\n", 1)[0]
        return first.removeprefix(prefix).strip() if first.startswith(prefix) else None

    def statements(self) -> list[str]:
        """The statements of the file, without their semicolons and without the guards."""
        return [text for text in split_statements(self.text) if not _THROW_IF.match(text)]

    def guards(self) -> list[Guard]:
        """The statements ``SELECT throwIf(count() > 0, 'message') FROM ...``. The file waits until none throws."""
        found = ((_THROW_IF.match(text), text) for text in split_statements(self.text))
        return [Guard(match[1], "SELECT * FROM " + text[match.end() :]) for match, text in found if match]


def split_statements(text: str) -> Iterator[str]:
    """Split SQL text at the semicolons that end statements, not at those in comments or strings."""
    start: int | None = None
    for token in tokens(text):
        if token.text == ";":
            if start is not None:
                yield text[start : token.start]
            start = None
        elif start is None:
            start = token.start
    if start is not None:
        yield text[start:].rstrip()


def read_migrations(directory: Path) -> list[Migration]:
    """All migrations of a directory in order.

    Raises MigrationError when there are none, when two share a number, or when a file says that it belongs to one that
    does not exist, or that itself belongs to another.
    """
    files = sorted(directory.glob("[0-9][0-9][0-9]_*.sql"))
    if not files:
        raise MigrationError(f"No migrations (NNN_*.sql) in {directory}.")
    numbers = [file.name[:3] for file in files]
    for first, second in zip(files, files[1:], strict=False):
        if first.name[:3] == second.name[:3]:
            raise MigrationError(f"{first.name} and {second.name} share a number; rename one. Known: {numbers}")
    migrations = [Migration(file.name, file.read_text(encoding="utf-8")) for file in files]
    targets = {migration.name for migration in migrations if migration.together_with is None}
    for migration in migrations:
        if migration.together_with is not None and migration.together_with not in targets:
            raise MigrationError(
                f"{migration.name} begins with `{TOGETHER}{migration.together_with}`, but {directory} has no such file "
                "that is applied by itself. Correct the first line."
            )
    return migrations
