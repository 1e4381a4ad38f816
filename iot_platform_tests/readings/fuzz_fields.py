"""Fields of fuzzed readings, each with its expected value. No parser is involved, so they can test the parser."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from random import Random

from iot_platform.readings.files.column_mapping import BAD_DEVICE_ID

SINCE_2000 = 946684800
LAST_SECOND = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Field:
    """A field as it is written (Parquet: bytes, a number or NULL), and its value, or the reason why it has none."""

    written: bytes | float | None
    value: float | None = None
    reason: str = ""


MISSING = (None, b"", b" ", b"null", b"NULL", b"None", b"N/A", b"-", b"\\N")
# Not valid UTF-8, even next to other bytes.
BROKEN = (b"\xff", b"\xfe\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8")

TIMES = {
    b"1970-01-01 00:00:00": 0,
    b"1970-01-01T00:00:00-00:01": 60,
    b"1999-12-31T23:59:59.999Z": SINCE_2000 - 1,
    b"2000-01-01T00:00+00:01": SINCE_2000 - 60,
    b"2000-01-01": SINCE_2000,
    b" 2000-01-01 00:00:00 UTC": SINCE_2000,
    b"2024-02-29 23:59:59": 1709251199,
    b"2024-03-01T05:29:58+0530": 1709251198,
    b"1999-12-31 24:00": SINCE_2000,
    b"1999-12-31T24:00:00": SINCE_2000,
    b"2106-02-07 06:28:15": LAST_SECOND,
    b"4294967295": LAST_SECOND,
}
UNREADABLE_TIMES = (
    b"yesterday", b"2026-02-30", b"2026-02-30 12:00:00", b"2023-02-29T00:00:00Z", b"2026-13-01", b"2026-00-10",
    b"2026-01-32 00:00", b"2026-01-01 23:60", b"2016-12-31 23:59:60", b"2016-12-31T23:59:60Z",
    b"2026-1-5", b"01/02/2026 10:00", b"20260101", b"2026-01-01T12:00+25:00", b"2026-01-01T12:00+99:99",
    b"2026-01-01T12:00Z+1", b"2026-01-01T00:00:00,5", b"2026-01-01  00:00:00", b"10000-01-01", b"-2026-01-01", b"0",
    b"-1", b"1e9", b"1767225600.5", b"17672256000", b"1767225600Z", b"+1767225600", b"NaN", b"true", b"0x69558000",
    b"2026-01-01\x00", b"\xef\xbb\xbf2026-01-01", "２０２６-01-01".encode(), "2026\u201301\u201301".encode(),
    b"2026-01-01\xc2\xa000:00", b"1" * 5000, b"2026-01-01 00:00:00" * 300, b"' OR 1=1 --",
)  # fmt: skip
TIMES_OUT_OF_RANGE = (
    b"1969-12-31 23:59:59", b"1969-12-31T23:59:59.5Z", b"1970-01-01T00:30:00+01:00", b"1900-01-01", b"1600-06-01 00:00",
    b"0001-01-01T00:00:00Z", b"2106-02-07 06:28:16", b"2106-02-07T06:28:15-01:00", b"2107-01-01", b"2262-04-12",
    b"9999-12-31 23:59:59", b"9999-12-31T23:59:59.999999999+00:00", b"4294967296", b"9999999999", b"9999999999999",
)  # fmt: skip

VALUES = {
    b"0": 0.0, b"-0.0": -0.0, b"-0": -0.0, b"0e99999": 0.0, b"5e-324": 5e-324, b"1e-400": 0.0, b"+1": 1.0, b".5": 0.5,
    b"5.": 5.0, b"1E1": 10.0, b" 7\t": 7.0, b"007.5": 7.5, b"99.99999999999999": 99.99999999999999,
    b"0." + b"1" * 1000: 0.1111111111111111, b"0" * 900 + b"2": 2.0, b"99.9999999999999999999": 100.0, b"100": 100.0,
    b"1e308": 1e308, b"123456789": 123456789.0, b"-1e308": -1e308, b"-0.1": -0.1, b"-5e-324": -5e-324,
    b"nan": math.nan, b"NaN": math.nan, b"-nan": math.nan, b"inf": math.inf, b"Infinity": math.inf, b"-INF": -math.inf,
    b"1e400": math.inf, b"-1e400": -math.inf, b"1.8e308": math.inf, b"9" * 400: math.inf,
}  # fmt: skip
UNREADABLE_VALUES = (
    b"six", b"1,5", b"1.000,5", b"0x10", b"1_0", b"1d", b"1e", b"e1", b"--1", b"1..2", b"1.5.", b"1e5.5",
    b"+", b".", b"$1", b"1 kWh", b"(1)", b"true", b"infinit", b"1\x00", b"\x001", b"\xc2\xa03", b"\xef\xbb\xbf1",
    "１".encode(), "٣".encode(), "\u22121".encode(), "∞".encode(), "½".encode(), b"=1+1", b"x" * 9000,
)  # fmt: skip

ZERO_IDS = (b"0", b" 0 ", b"0.0")
BAD_IDS = (
    b"1000000000", b"4294967295", b"4294967296", b"18446744073709551616", b"9" * 5000, b"-1", b"-0", b"+1", b"1.5",
    b"007", b"000", b"0" * 5000, b"1e3", b"0x10", b"1,000", b"1 2", b"meter-1", b"true", b"1\x00", b"\xef\xbb\xbf1",
    "１".encode(), "٣".encode(), b"550e8400-e29b-41d4-a716-446655440000", b"z" * 9000,
    b"'; DROP TABLE l1_power_raw; --",
)  # fmt: skip


def written_time(chance: Random, seconds: int) -> bytes:
    """A time in one of its formats; as a number only from 1973 on, because earlier ones have too few digits."""
    time = dt.datetime.fromtimestamp(seconds, dt.UTC)
    hours, minutes = chance.randint(-11, 13), chance.choice((0, 30, 45))
    # The offset must not lead to a year outside the range of a DateTime.
    local = time.astimezone(dt.timezone(dt.timedelta(hours=hours, minutes=minutes)))
    offset = f"{local:%z}"
    fraction = chance.choice(("", "", ".0", ".123", ".999999999"))
    forms = [
        f"{time:%Y-%m-%d %H:%M:%S}{fraction}",
        f"{time:%Y-%m-%dT%H:%M:%S}{fraction}Z",
        f" {time:%Y-%m-%d %H:%M:%S}{fraction} {chance.choice(('UTC', 'GMT', 'Z'))}\t",
        f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{offset}",
        f"{local:%Y-%m-%d %H:%M:%S} {offset[:3]}:{offset[3:]}",
    ]
    if seconds >= 100_000_000:
        forms += [str(seconds), f"{seconds}{chance.randrange(1000):03}"]
    return chance.choice(forms).encode()


def time_field(chance: Random, seconds: int) -> Field:
    """A time, mostly ``seconds``."""
    roll = chance.random()
    if roll < 0.03:
        return Field(chance.choice(UNREADABLE_TIMES), reason="unreadable_time")
    if roll < 0.04:
        return Field(chance.choice(TIMES_OUT_OF_RANGE), reason="time_out_of_range")
    if roll < 0.05:
        return Field(chance.choice(MISSING), reason="missing_time")
    if roll < 0.06:
        text, special = chance.choice(list(TIMES.items()))
        return Field(text, special)
    return Field(written_time(chance, seconds), seconds)


def id_field(chance: Random, device: int) -> Field:
    """A meter id, mostly ``device``."""
    roll = chance.random()
    if roll < 0.03:
        return Field(chance.choice(BAD_IDS), reason=BAD_DEVICE_ID)
    if roll < 0.04:
        return Field(chance.choice((*MISSING, b"nan", b"NaN")), reason="missing_device_id")
    if roll < 0.06:
        return Field(chance.choice(ZERO_IDS), 0)
    if roll < 0.12:
        return Field(chance.choice((f"{device}.0", f"{device}.00", f" {device}\t", f"{device}\u00a0")).encode(), device)
    return Field(str(device).encode(), device)


def value_field(chance: Random) -> Field:
    """An energy in kWh."""
    roll = chance.random()
    if roll < 0.04:
        return Field(chance.choice(UNREADABLE_VALUES), reason="unreadable_value")
    if roll < 0.05:
        return Field(chance.choice(MISSING), reason="missing_value")
    if roll < 0.25:
        text, value = chance.choice(list(VALUES.items()))
        return Field(text, value)
    text = valid_value(chance)
    return Field(text, float(text))


def valid_value(chance: Random) -> bytes:
    """The text of an energy between 0 and 99.9 kWh."""
    value = chance.uniform(0, 99.9)
    return chance.choice((repr(value), f"{value:.3f}", f"{value:e}", f"+{value:.1f}")).encode()


def with_broken_text(chance: Random, field: Field) -> Field:
    """The field with added bytes that are not UTF-8."""
    text = field.written if isinstance(field.written, bytes) else b""
    position = chance.randint(0, len(text))
    return Field(text[:position] + chance.choice(BROKEN) + text[position:], reason="broken_encoding")
