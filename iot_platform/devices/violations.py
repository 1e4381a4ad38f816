"""What breaks the contract of device metadata: counted, and the first of it kept for the message."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass

from iot_platform.errors import SourceError
from iot_platform.security.escaping import escape_line

# Of a file that is wrong throughout its beginning is enough to know.
MOST_TOLD = 100
VALUE_LENGTH = 80


@dataclass(frozen=True, order=True)
class Violation:
    """One breach of the contract: the row (line of a CSV) it stands in, the column, and what is wrong."""

    row: int
    column: str
    problem: str

    def __str__(self) -> str:
        return f"{self.column}: {self.problem}"


class Violations:
    """The number of violations, and the first MOST_TOLD of them in the order of their rows."""

    def __init__(self, found: Iterable[Violation] = ()) -> None:
        self.count = 0
        self.told: list[Violation] = []
        self.add(found)

    def add(self, found: Iterable[Violation], uncounted: int = 0) -> None:
        """Count some more; of ``uncounted`` further ones only the number is known, because they come behind these."""
        for violation in found:
            self.count += 1
            if len(self.told) < MOST_TOLD or violation < self.told[-1]:
                bisect.insort(self.told, violation)
                del self.told[MOST_TOLD:]
        self.count += uncounted


class ContractError(SourceError):
    """Metadata that breaks the contract; nothing of it was used. ``violations``: those that the message names."""

    def __init__(self, where: str, row_name: str, found: Violations) -> None:
        self.violations = found.told
        lines = [f"  {row_name} {violation.row}: {violation}" for violation in found.told]
        if rest := found.count - len(lines):
            lines.append(f"  and {rest:,} more")
        super().__init__(
            f"{where}: {found.count:,} violations of the device contract; nothing was changed.\n" + "\n".join(lines)
        )


def shown(value: object) -> str:
    """A value of the source in a message: quoted, on one line, and cut when it is long."""
    return f"'{escape_line(value, VALUE_LENGTH)}'" if isinstance(value, str) else repr(value)
