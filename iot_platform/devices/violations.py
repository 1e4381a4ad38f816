"""Violations of the contract of device metadata: all are counted, the first ones are listed in the message."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass

from iot_platform.errors import SourceError
from iot_platform.security.escaping import escape_line

# A file may be wrong in every row; the first violations are enough to find the cause.
MOST_LISTED = 100
VALUE_LENGTH = 80


@dataclass(frozen=True, order=True)
class Violation:
    """One violation of the contract: the row of the source (line of a CSV), the column, and what is wrong."""

    row: int
    column: str
    problem: str

    def __str__(self) -> str:
        return f"{self.column}: {self.problem}"


class Violations:
    """The number of violations, and the first MOST_LISTED of them in the order of their rows."""

    def __init__(self) -> None:
        self.count = 0
        self.listed: list[Violation] = []

    def add(self, found: Iterable[Violation], uncounted: int = 0) -> None:
        """Add violations. ``uncounted``: the number of further ones, which come after these and are not listed."""
        for violation in found:
            self.count += 1
            if len(self.listed) < MOST_LISTED or violation < self.listed[-1]:
                bisect.insort(self.listed, violation)
                del self.listed[MOST_LISTED:]
        self.count += uncounted


class ContractError(SourceError):
    """Metadata that violates the contract; none of it was used. ``violations``: those that the message lists."""

    def __init__(self, where: str, row_name: str, found: Violations) -> None:
        self.violations = found.listed
        lines = [f"  {row_name} {violation.row}: {violation}" for violation in found.listed]
        if rest := found.count - len(lines):
            lines.append(f"  and {rest:,} more")
        super().__init__(
            f"{where}: {found.count:,} violations of the device contract; nothing was changed.\n" + "\n".join(lines)
        )


def shown(value: object) -> str:
    """A value of the source as it appears in a message: quoted, on one line, and cut if it is long."""
    return f"'{escape_line(value, VALUE_LENGTH)}'" if isinstance(value, str) else repr(value)
