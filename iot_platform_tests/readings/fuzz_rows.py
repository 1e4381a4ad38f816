"""Rows of fuzzed readings, the expected result for each, and the CSV files with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from iot_platform_tests.readings.fuzz_fields import (
    LAST_SECOND,
    SINCE_2000,
    Field,
    id_field,
    time_field,
    valid_value,
    value_field,
    with_broken_text,
    written_time,
)

FIRST_DAY = 1767225600  # 2026-01-01
DAYS = 12
SHOWN_BYTES = 200
ACCEPTED = "accepted"
WRONG_COLUMN_COUNT = "rejected: wrong_column_count"
Fields = tuple[Field, Field, Field]
HEADER = (b"timestamp", b"device_id", b"power_usage_kWh", b"note")


@dataclass(slots=True)
class Row:
    """A row at a place (line or row number) of its file: the verdict it was built for, and where to find it then.

    ``key``: device_id and Unix time; None when one of them cannot be read. ``note`` is a column that nobody reads.
    """

    fields: Fields
    verdict: str
    key: tuple[int, int] | None
    place: int = 0
    text: bytes = b""

    @property
    def value(self) -> float:
        value = self.fields[2].value
        return math.nan if value is None else value


@dataclass
class RowMaker:
    """Makes rows with unique keys, and sometimes another valid reading for an existing key."""

    chance: Random
    now: int
    keys: set[tuple[int, int]] = field(default_factory=set)
    valid: list[tuple[int, int]] = field(default_factory=list)

    def row(self, *, broken: bool) -> Row:
        """The next row of text; ``broken``: it may contain bytes that are not UTF-8."""
        if key := self.known_key():
            return self.judged(_texts_of(self.chance, *key))
        return self.of(lambda: self._fields(broken=broken))

    def known_key(self) -> tuple[int, int] | None:
        """Sometimes the key of a valid row, for another reading with this key."""
        return self.chance.choice(self.valid) if self.valid and self.chance.random() < 0.03 else None

    def of(self, fields: Callable[[], Fields]) -> Row:
        """A row with a key that no other row has."""
        row = self.judged(fields())
        while row.key is not None and row.key in self.keys:
            row = self.judged(fields())
        if row.key is not None:
            self.keys.add(row.key)
            if row.verdict == ACCEPTED:
                self.valid.append(row.key)
        return row

    def seconds(self) -> int:
        """A Unix time: mostly on a few days, sometimes in another year or the near future."""
        roll = self.chance.random()
        if roll < 0.02:
            return self.chance.randrange(SINCE_2000)
        if roll < 0.03:
            return self.chance.randint(self.now + 6 * 3600, LAST_SECOND)
        if roll < 0.035:
            return self.now + self.chance.randint(6 * 3600, 23 * 3600)
        if roll < 0.04:
            return self.now + self.chance.randint(0, 300)
        return FIRST_DAY + self.chance.randrange(DAYS * 86400)

    def device(self) -> int:
        """A device_id."""
        return self.chance.choice((self.chance.randint(1, 20_000), 999_999_999))

    def _fields(self, *, broken: bool) -> Fields:
        fields = [
            time_field(self.chance, self.seconds()),
            id_field(self.chance, self.device()),
            value_field(self.chance),
        ]
        if broken and self.chance.random() < 0.02:
            position = self.chance.randrange(3)
            fields[position] = with_broken_text(self.chance, fields[position])
        return fields[0], fields[1], fields[2]

    def judged(self, fields: Fields) -> Row:
        """A row of these fields."""
        time, device, value = fields
        key = None
        if time.value is not None and device.value is not None:
            key = int(device.value), int(time.value)
        return Row(fields, verdict(time, device, value, self.now), key)


def _texts_of(chance: Random, device: int, seconds: int) -> Fields:
    value = valid_value(chance)
    time = Field(written_time(chance, seconds), seconds)
    return time, Field(str(device).encode(), device), Field(value, float(value))


def verdict(time: Field, device: Field, value: Field, now: int) -> str:
    """The expected result for a reading; its first fault decides."""
    if reason := time.reason or device.reason or value.reason:
        return f"rejected: {reason}"
    assert time.value is not None and device.value is not None and value.value is not None
    faults = {
        "no_device": device.value == 0,
        "not_a_number": math.isnan(value.value),
        "infinite": math.isinf(value.value),
        "negative": value.value < 0,
        "too_old": time.value < SINCE_2000,
        "in_the_future": time.value > now + 3600,
        "over_limit": value.value >= 100,
    }
    return next((f"refused: {reason}" for reason, applies in faults.items() if applies), ACCEPTED)


@dataclass(frozen=True)
class Temper:
    """What a section of a CSV file contains, so that plain and difficult blocks alternate."""

    line_ends: tuple[bytes, ...]
    broken_text: bool
    odd_lines: bool
    quotes: bool
    open_quotes: bool
    malformed: bool


def write_csv(path: Path, chance: Random, count: int, now: int) -> list[Row]:
    """Write ``count`` rows to a CSV file, with blank lines between them."""
    maker = RowMaker(chance, now)
    delimiter = chance.choice((b",", b";", b"\t", b"|"))
    rows: list[Row] = []
    with path.open("wb") as file:
        start = (
            chance.choice((b"", b"\xef\xbb\xbf")) + chance.choice((b"", b"\n\r\n")) + delimiter.join(HEADER) + b"\r\n"
        )
        file.write(start)
        line = 1 + start.count(b"\n")
        for temper in _tempers(chance):
            for _ in range(chance.randint(1, 4000)):
                if len(rows) == count:
                    return rows
                if temper.odd_lines and chance.random() < 0.01:
                    file.write(chance.choice((b"\n", b"\r\n")))
                    line += 1
                row = maker.row(broken=temper.broken_text)
                _write(row, chance, delimiter, temper)
                row.place = line
                file.write(row.text)
                line += row.text.count(b"\n")
                row.text = row.text[:SHOWN_BYTES]
                rows.append(row)
    raise AssertionError("unreachable")


def _tempers(chance: Random) -> Iterator[Temper]:
    while True:
        wild = [chance.random() < 0.4 for _ in range(5)]
        line_ends = chance.choice(((b"\n",), (b"\r\n",), (b"\n", b"\r\n")))
        yield Temper(line_ends, *wild)


def _write(row: Row, chance: Random, delimiter: bytes, temper: Temper) -> None:
    """Set the text of the row."""
    texts = [each.written if isinstance(each.written, bytes) else b"" for each in row.fields] + [
        _note(chance, delimiter, temper)
    ]
    end = chance.choice(temper.line_ends)
    if temper.malformed and chance.random() < 0.03:
        row.text = malformed(chance, delimiter, texts, open_quotes=temper.open_quotes) + end
        row.verdict, row.key = WRONG_COLUMN_COUNT, None
        return
    row.text = delimiter.join(_quoted(chance, text, delimiter, temper) for text in texts) + end


def _quoted(chance: Random, text: bytes, delimiter: bytes, temper: Temper) -> bytes:
    needed = delimiter in text or b"\n" in text or text.startswith(b'"') or text.endswith(b'"')
    if needed or (temper.quotes and chance.random() < 0.3):
        return b'"' + text.replace(b'"', b'""') + b'"'
    return text


def _note(chance: Random, delimiter: bytes, temper: Temper) -> bytes:
    """A note that does not begin with a line end or a delimiter, which would close an unclosed quote before it."""
    notes = [b"", b"", b"plain", "größer ✓ \u2028\u0085".encode(), b'5" pipe', b"\\", b"NUL \x00"]
    if temper.quotes:
        notes += [b'"', b'say "hi"', b"a" + delimiter + b"b"]
    if temper.odd_lines:
        notes += [b"a\rb", b"\r", b"two\nlines", b"a\r\n\n\nb", b'"x\ny"']
    if temper.broken_text:
        notes += [b"\xff\xfe", "größer".encode("latin-1"), "ab".encode("utf-16")]
    if chance.random() < 0.0001:
        notes = [b"long " * 40_000]
    return chance.choice(notes)


def malformed(chance: Random, delimiter: bytes, texts: list[bytes], *, open_quotes: bool) -> bytes:
    """A malformed line: too few or too many fields, an unclosed quote, or random bytes."""
    # Without quotes and line ends in the fields, their number is certainly wrong.
    plain = [text.translate(None, b'"\r\n' + delimiter) for text in texts]
    kind = chance.randrange(5 if open_quotes else 4)
    if kind == 0:
        return delimiter.join(plain[: chance.randint(1, 3)]) or b" "
    if kind == 1:
        return delimiter.join([*plain, *([b""] * chance.randint(1, 50))])
    if kind == 2:
        return chance.choice((b" ", b"\x00", b"\xef\xbb\xbf", b"\x1a"))
    if kind == 3:
        return chance.randbytes(chance.randint(1, 300)).translate(None, b'"\r\n' + delimiter) or b"x"
    position = chance.randrange(4)
    plain[position] = b'"never closed ' + plain[position]
    return delimiter.join(plain)
