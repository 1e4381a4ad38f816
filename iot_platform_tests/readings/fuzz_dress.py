"""CSV files of fuzzed readings as utilities write them: lines before the header, German columns, times and numbers."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from pathlib import Path
from random import Random

from iot_platform_tests.readings.fuzz_fields import SINCE_2000, Field, id_field
from iot_platform_tests.readings.fuzz_rows import SHOWN_BYTES, WRONG_COLUMN_COUNT, Fields, Row, RowMaker, malformed

# What the file does not say, or only by chance.
OPTIONS = ["--timezone", "UTC"]
PREAMBLES = ("", "Netz Süd GmbH\nKunde: 1234567\n\n", "sep={}\n", "# Lastgang\n#\n", "\n\n")
NAMES = ("Zählpunkt", "Wert [kWh]", "Bemerkung")
TIMES = {"31.12.1999 24:00:00": SINCE_2000, "01.01.2000 00:00:00": SINCE_2000, "29.02.2024 24:00": 1709251200}
BAD_TIMES = {
    "unreadable_time": ("32.01.2026 00:00", "01.13.2026 00:00:00", "29.02.2026 10:00", "01.02.2026 25:00", "x y"),
    "time_out_of_range": ("31.12.1969 23:59:59", "01.01.2107 00:00:00"),
    "missing_time": (" ",),
}  # fmt: skip
VALUES = {"1.234,5": 1234.5, "1.234.567": 1234567.0, "0,5": 0.5, ",5": 0.5, "7": 7.0, "-0,1": -0.1, "1,5e1": 15.0} | {
    "NaN": math.nan, "inf": math.inf, "100,0": 100.0, "5,": 5.0, " 7,25 ": 7.25
}  # fmt: skip
BAD_VALUES = ("six", "1,2,3", "1.234,5.6", "0,5 kWh", ",", "1,5,")


@dataclass(frozen=True)
class Dress:
    """How a whole file is written. ``tail``: each line ends with a delimiter."""

    delimiter: str
    before: str
    encoding: str
    two_columns: bool
    tail: bool

    @property
    def has_comments(self) -> bool:
        return self.before.startswith("#")

    def line(self, time: str, *others: str) -> str:
        """A line without its end."""
        parts = time.partition(" ")[::2] if self.two_columns else (time,)
        return self.delimiter.join((*parts, *others, *([""] if self.tail else [])))


class DressedRows(RowMaker):
    """Makes rows with German times and numbers."""

    def row(self, *, broken: bool = False) -> Row:
        """The next row."""
        if key := self.known_key():
            value = self.chance.uniform(0, 99)
            text = f"{value:.6f}"
            fields = (
                Field(_time(key[1], self.chance), key[1]),
                Field(str(key[0]).encode(), key[0]),
                Field(text.replace(".", ",").encode(), float(text)),
            )
            return self.judged(fields)
        return self.of(self._german)

    def _german(self) -> Fields:
        chance = self.chance
        second = self.seconds()
        time = Field(_time(second, chance), second)
        roll = chance.random()
        if roll < 0.04:
            reason = chance.choice(list(BAD_TIMES))
            time = Field(chance.choice(BAD_TIMES[reason]).encode(), reason=reason)
        elif roll < 0.05:
            text, special = chance.choice(list(TIMES.items()))
            time = Field(text.encode(), special)
        return time, id_field(chance, self.device()), self._value()

    def _value(self) -> Field:
        chance = self.chance
        roll = chance.random()
        if roll < 0.03:
            return Field(chance.choice(BAD_VALUES).encode(), reason="unreadable_value")
        if roll < 0.04:
            return Field(b"", reason="missing_value")
        if roll < 0.15:
            text, value = chance.choice(list(VALUES.items()))
            return Field(text.encode(), value)
        text = f"{chance.uniform(0, 99):.{chance.randint(1, 9)}f}"
        return Field(text.replace(".", ",").encode(), float(text))


def write_dressed(path: Path, chance: Random, count: int, now: int) -> list[Row]:
    """Write ``count`` rows to a CSV file in a random dress."""
    delimiter = chance.choice((";", "\t", "|"))
    dress = Dress(
        delimiter,
        chance.choice(PREAMBLES).format(delimiter),
        chance.choice(("utf-8", "utf-8-sig", "utf-16", "utf-16-le")),
        chance.random() < 0.5,
        chance.random() < 0.5,
    )
    maker = DressedRows(chance, now)
    end = chance.choice(("\n", "\r\n"))
    lines = [*dress.before.split("\n")[:-1], dress.line("Datum Uhrzeit" if dress.two_columns else "Zeit", *NAMES)]
    rows: list[Row] = []
    while len(rows) < count:
        if chance.random() < 0.01:
            lines.append("")
        if dress.has_comments and chance.random() < 0.01:
            lines.append('# "comment;' + delimiter)
        row = maker.row()
        text = _line(row, chance, dress)
        if chance.random() < 0.02:
            plain = [each.written if isinstance(each.written, bytes) else b"" for each in row.fields]
            bad = malformed(chance, delimiter.encode(), [*plain, b""], open_quotes=False)
            text = bad.decode(errors="surrogateescape").replace("#", "x") + (delimiter if dress.tail else "")
            row.verdict, row.key = WRONG_COLUMN_COUNT, None
        lines.append(text)
        row.place, row.text = len(lines), text.encode(errors="replace")[:SHOWN_BYTES]
        rows.append(row)
    content = "".join(line + end for line in lines)
    errors = "surrogatepass" if dress.encoding.startswith("utf-16") else "surrogateescape"
    path.write_bytes(content.encode(dress.encoding, errors))
    return rows


def _line(row: Row, chance: Random, dress: Dress) -> str:
    time, meter, value = (each.written.decode() if isinstance(each.written, bytes) else "" for each in row.fields)
    note = chance.choice(("", "größer ✓", "plain", "# no comment"))
    return dress.line(time, *(_quoted(text, dress.delimiter, chance) for text in (meter, value, note)))


def _quoted(text: str, delimiter: str, chance: Random) -> str:
    return f'"{text}"' if delimiter in text or chance.random() < 0.1 else text


def _time(second: int, chance: Random) -> bytes:
    time = dt.datetime.fromtimestamp(second, dt.UTC)
    text = f"{time:%d.%m.%Y %H:%M:%S}"
    if chance.random() < 0.2:
        text = f"{time.day}.{time.month}.{time.year} {time.hour}:{time:%M:%S}"
    return text.encode()
