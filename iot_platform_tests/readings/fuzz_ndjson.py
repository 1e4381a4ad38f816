"""NDJSON files of fuzzed readings: the fields of a CSV file as texts, or as numbers where they are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

from iot_platform_tests.readings.fuzz_rows import HEADER, SHOWN_BYTES, Row, RowMaker

NO_OBJECT = (b"[1, 2]", b"{", b'{"timestamp": ', b"null", b'"text"', b"\xff\xfe", b"timestamp,device_id", b"NaN")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def write_ndjson(path: Path, chance: Random, count: int, now: int) -> list[Row]:
    """Write ``count`` rows to an NDJSON file, with blank lines between them."""
    maker = RowMaker(chance, now)
    rows: list[Row] = []
    line = 0
    with path.open("wb") as file:
        while len(rows) < count:
            line += 1
            # The first line shows that the file is NDJSON.
            if rows and chance.random() < 0.01:
                file.write(chance.choice((b"\n", b" \r\n")))
                continue
            row = maker.row(broken=False)
            row.text, row.place = _line(chance, row), line
            if rows and chance.random() < 0.01:
                row.text, row.verdict, row.key = chance.choice(NO_OBJECT), "rejected: no_json_object", None
            file.write(row.text + chance.choice((b"\n", b"\r\n")))
            row.text = row.text[:SHOWN_BYTES]
            rows.append(row)
    return rows


def _line(chance: Random, row: Row) -> bytes:
    members = [(b"note", json.dumps(chance.choice(("", "größer ✓", [1, {"a": None}], 5))).encode())]
    for name, field in zip(HEADER, row.fields, strict=False):
        text = field.written if isinstance(field.written, bytes) else b""
        is_number = _NUMBER.fullmatch(text) and chance.random() < 0.7
        members.append((name, text if is_number else json.dumps(text.decode()).encode()))
    chance.shuffle(members)
    return b"{" + b", ".join(b'"%b": %b' % member for member in members) + b"}"
