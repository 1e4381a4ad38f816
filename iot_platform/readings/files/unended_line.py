"""A last line without a line end: is it whole, or was the file cut off in it?

Many tools write no line end at the end of a file. But a copy that was interrupted ends like that as well, perhaps in
the middle of a number: 0.5 of 0.509. A line counts as whole only if a cut would show.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# So many lines must agree on how the last field is written.
FEWEST_LINES = 10

_DECIMALS = re.compile(rb"[+-]?[0-9]*[.,]([0-9]+)")
_TIME = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}.*")


@dataclass(frozen=True)
class UnendedLine:
    """The last line of a file, without a line end; ``before``: the text before it, or the end of that."""

    text: bytes
    before: bytes
    delimiter: bytes

    def is_whole(self) -> bool:
        """Whether no cut can have changed its last field.

        So it is if the field is quoted; if half of a line end is there; or if all lines before it write the field in
        the same form, and so does the last one: with the same number of decimals, or as a time of the same length. A
        number that was cut has fewer decimals. Whole numbers, and numbers with varying decimals, have no such form.
        """
        field = self._last_field(self.text)
        if self.text.endswith(b"\r") or (len(field) > 1 and field.startswith(b'"') and field.endswith(b'"')):
            return True
        # The first one is the header, or a part of a line.
        lines = [line for line in self.before.split(b"\n")[1:] if line.strip()]
        forms = {_form(self._last_field(line)) for line in lines}
        return len(lines) >= FEWEST_LINES and forms == {_form(field)} and None not in forms

    def _last_field(self, line: bytes) -> bytes:
        return line.rstrip(b"\r").rpartition(self.delimiter)[2].strip()


def _form(field: bytes) -> tuple[str, int] | None:
    if number := _DECIMALS.fullmatch(field):
        return "decimals", len(number[1])
    return ("time", len(field)) if _TIME.fullmatch(field) else None
