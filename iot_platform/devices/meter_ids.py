"""The one rule for the ids of meters: which device_id stands for an id, by its text alone.

A meter's id is text. A plain number from 1 to 999,999,999 is its own device_id; any other id is a name, which gets a
number from 1,000,000,001 on that is stored in the table ``meter_ids``. What else a file or source contains never
matters, so a meter has the same device_id whatever it is delivered with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias, cast

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from pyarrow import compute

from iot_platform.clickhouse.lock import server_lock
from iot_platform.errors import PlatformError, SourceError
from iot_platform.layers.dictionaries import reload_meter_ids

# pyarrow's type stubs do not know some functions for text, nor that casts and dictionaries give text.
pc: Any = compute
Texts: TypeAlias = Any

# What a load does with names: they get a number, or their rows are rejected.
IdKind = Literal["auto", "numeric", "external"]
# Whether 007 is a meter of its own, or meter 7 (in homes that have loaded files by that rule).
LeadingZeros = Literal["kept", "ignored"]

# Numbers up to LAST_NUMERIC_ID are used as they are; the platform assigns higher ones. L2 refuses device 0.
LAST_NUMERIC_ID = 999_999_999
FIRST_ASSIGNED_ID = 1_000_000_001
LAST_ASSIGNED_ID = 2**32 - 1

_PLAIN = r"^(?:0|[1-9][0-9]{0,8})$"
_LEADING_ZEROS = r"^0+(0|[1-9][0-9]{0,8})$"
# A column of whole numbers in which some are missing is often written like this.
_WHOLE_FLOAT = r"^([0-9]+)\.0+$"
# A spreadsheet has shortened a long number. 12E5 is none of these: ids of hexadecimal digits exist.
_SCIENTIFIC = r"^[+-]?[0-9]+(?:[.,][0-9]*[eE][+-]?|[eE][+])[0-9]+$"

_RULE = "SELECT argMin(value, set_at), argMax(value, set_at) FROM meter_id_rules WHERE name = 'leading_zeros'"


def normalized(texts: Texts) -> Texts:
    """The ids without blanks around them, and whole numbers such as ``101.0`` without their zeros."""
    trimmed = pc.utf8_trim_whitespace(texts)
    return pc.replace_substring_regex(trimmed, _WHOLE_FLOAT, r"\1")


def plain_numbers(ids: Texts, leading_zeros: LeadingZeros) -> pa.Array[Any]:
    """device_id (uint32) of each normalized id that is its own number; NULL for names, and for NULL."""
    if leading_zeros == "ignored":
        ids = pc.replace_substring_regex(ids, _LEADING_ZEROS, r"\1")
    digits = pc.if_else(pc.match_substring_regex(ids, _PLAIN), ids, pa.scalar(None, pa.string()))
    numbers: pa.Array[Any] = digits.cast(pa.int64()).cast(pa.uint32())
    return numbers


def refuse_scientific(texts: Texts, where: Callable[[int], str]) -> None:
    """Raise SourceError for the first id in scientific notation; ``where`` names the place of an index."""
    if pc.any(pc.match_substring_regex(pc.unique(texts), _SCIENTIFIC), min_count=0).as_py():
        index = pc.index(pc.match_substring_regex(texts, _SCIENTIFIC), True).as_py()
        raise SourceError(
            f"{where(index)}: the meter id {str(texts[index])!r} is a number in scientific notation. A spreadsheet has "
            "shortened the ids, and different meters may look the same now: the true ids cannot be found in it. Export "
            "it again with the ids as text (in Excel: set the column's format to Text before the ids are filled in)."
        )


def names_of(client: Client, device_ids: Iterable[int]) -> dict[int, str]:
    """The meter id of each device: its name, or the digits of a device without one."""
    ids = sorted(set(device_ids))
    rows = client.query(
        "SELECT id, dictGetOrDefault('device_meter_ids', 'meter_id', id, toString(id)) "
        "FROM (SELECT arrayJoin({ids:Array(UInt64)}) AS id)",
        parameters={"ids": ids},
    ).result_rows
    return {int(device_id): str(name) for device_id, name in rows}


def without_leading_zeros(ids: Texts) -> Texts:
    """Normalized ids as a database counts them that ignores leading zeros."""
    return pc.replace_substring_regex(ids, _LEADING_ZEROS, r"\1")


class MeterIds:
    """device_id by meter id: the rule, and the table ``meter_ids``. Several processes may use it at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, int] | None = None
        self._known_digits = False
        self._zeros: tuple[LeadingZeros, LeadingZeros] | None = None
        self._without_zeros: set[str] = set()

    @property
    def leading_zeros(self) -> LeadingZeros:
        """Whether leading zeros are a part of an id in this database."""
        return self._rules()[1]

    @property
    def is_older_than_the_rule(self) -> bool:
        """Whether the database has readings or devices from before it had a rule for all ids."""
        return self._rules()[0] == "ignored"

    def device_ids(self, texts: Texts) -> pa.Array[Any]:
        """device_id (uint32) of each id, NULL for NULL. Names that are new get the next numbers.

        Raises PlatformError if no numbers are left.
        """
        encoded = texts.dictionary_encode()
        return self._numbers(encoded.dictionary, self._register).take(encoded.indices)

    def plain_device_ids(self, texts: Texts) -> pa.Array[Any]:
        """Like ``device_ids``, but NULL for names."""
        encoded = texts.dictionary_encode()
        is_plain = plain_numbers(normalized(encoded.dictionary), self.leading_zeros).is_valid()
        plain = pc.if_else(is_plain, encoded.dictionary, pa.scalar(None, pa.string()))
        return self._numbers(plain, self._register).take(encoded.indices)

    def expected(self, texts: Texts) -> pa.Array[Any]:
        """Like ``device_ids``, without storing anything: new names have the numbers that they would get."""
        self._known = None
        encoded = texts.dictionary_encode()
        numbers = self._numbers(encoded.dictionary, _with_next_numbers).take(encoded.indices)
        self._known = None
        return numbers

    def known_device_ids(self, texts: Texts) -> pa.Array[Any]:
        """Like ``device_ids``, but NULL for names that are not registered; it registers none."""
        encoded = texts.dictionary_encode()
        return self._numbers(encoded.dictionary, lambda known, names: known).take(encoded.indices)

    def renumbered(self, device_ids: pa.Array[Any]) -> pa.Array[Any]:
        """device_id of ids that are plain numbers: another one if the number is registered in ``meter_ids``."""
        self._read()
        if not self._known_digits:
            return device_ids
        return self.device_ids(device_ids.cast(pa.string()))

    def notes(self) -> list[str]:
        """What people should know of the ids read since the last call, in sentences."""
        found, self._without_zeros = sorted(self._without_zeros), set()
        if not found:
            return []
        return [
            f"Leading zeros of {len(found):,} meter ids were ignored (such as {found[0]!r}): this database is older "
            "than the rule by which such ids are meters of their own. docs/load-data.md says how to change that."
        ]

    def stored(self) -> dict[str, int]:
        """All names with their device_id."""
        rows = self._client.query("SELECT external_id, device_id FROM meter_ids FINAL").result_columns
        return dict(zip(*rows, strict=True)) if rows else {}

    def _numbers(self, texts: Texts, register: Callable[[dict[str, int], list[str]], dict[str, int]]) -> pa.Array[Any]:
        """device_id of each of some different texts."""
        ids = normalized(texts)
        numbers = plain_numbers(ids, self.leading_zeros)
        known = self._read()
        if self.leading_zeros == "ignored":
            differ = pc.and_(numbers.is_valid(), pc.match_substring_regex(ids, r"^0[0-9]"))
            self._without_zeros.update(id_ for id_ in ids.filter(differ).to_pylist() if id_ not in known)
        if not self._known_digits and numbers.null_count == ids.null_count:
            return numbers
        rows = list(zip(texts.to_pylist(), ids.to_pylist(), numbers.to_pylist(), strict=True))
        # Databases keep what they have registered: numbers too, and ids as they were written.
        names = [id_ for text, id_, number in rows if number is None and id_ is not None and text not in known]
        if any(name not in known for name in names):
            self._known = known = register(known, [name for name in dict.fromkeys(names) if name not in known])
        found = [known.get(text, known.get(id_, number)) for text, id_, number in rows]
        return pa.array(found, pa.uint32())

    def _register(self, known: dict[str, int], names: list[str]) -> dict[str, int]:
        with server_lock(self._client, "meter_ids"):
            before = self.stored()
            new = [name for name in names if name not in before]
            numbers = _with_next_numbers(before, new)
            if new:
                rows = [[name, numbers[name]] for name in new]
                self._client.insert("meter_ids", rows, column_names=["external_id", "device_id"])
            known = self.stored()
        self._verify(known, names)
        if new:
            reload_meter_ids(self._client)
        return known

    def _verify(self, known: Mapping[str, int], names: Iterable[str]) -> None:
        if any(name not in known for name in names) or len(set(known.values())) != len(known):
            raise PlatformError(
                "meter_ids: two meters share a number, or a new one was not stored. No reading was written. "
                "Look for rows of the table meter_ids that the platform did not insert."
            )

    def _read(self) -> dict[str, int]:
        if self._known is None:
            self._known = self.stored()
            names = normalized(pa.array(list(self._known), pa.string()))
            self._known_digits = plain_numbers(names, self.leading_zeros).null_count < len(names)
        return self._known

    def _rules(self) -> tuple[LeadingZeros, LeadingZeros]:
        if self._zeros is None:
            first, newest = (value or "kept" for value in self._client.query(_RULE).result_rows[0])
            if {first, newest} - {"kept", "ignored"}:
                raise PlatformError(
                    f"meter_id_rules: leading_zeros is {newest!r}, neither 'kept' nor 'ignored'. No reading was "
                    "written. Insert a row with one of these values (see docs/load-data.md)."
                )
            self._zeros = cast("tuple[LeadingZeros, LeadingZeros]", (first, newest))
        return self._zeros


def _with_next_numbers(known: dict[str, int], names: list[str]) -> dict[str, int]:
    start = max(known.values(), default=FIRST_ASSIGNED_ID - 1) + 1
    if start + len(names) - 1 > LAST_ASSIGNED_ID:
        raise PlatformError(f"meter_ids: no numbers are left for {len(names)} more meters. None was registered.")
    return known | {name: start + index for index, name in enumerate(names)}
