"""Read the .sql files and split them into statements."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from iot_platform.clickhouse_embedded.lexer import tokens
from iot_platform.errors import MigrationError

NEEDS = "-- needs the setting "


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
        first = self.text.split("\n", 1)[0]
        return first.removeprefix(NEEDS).strip() if first.startswith(NEEDS) else None

    def statements(self) -> list[str]:
        """The statements of the file, without their semicolons."""
        return list(split_statements(self.text))


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
    """All migrations of a directory in order. Raises MigrationError when there are none, or two share a number."""
    files = sorted(directory.glob("[0-9][0-9][0-9]_*.sql"))
    if not files:
        raise MigrationError(f"No migrations (NNN_*.sql) in {directory}.")
    numbers = [file.name[:3] for file in files]
    for first, second in zip(files, files[1:], strict=False):
        if first.name[:3] == second.name[:3]:
            raise MigrationError(f"{first.name} and {second.name} share a number; rename one. Known: {numbers}")
    return [Migration(file.name, file.read_text(encoding="utf-8")) for file in files]
