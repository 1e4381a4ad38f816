"""The device_id of a meter: its own id if that is a number, else a number that is assigned once and stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.lock import server_lock
from iot_platform.errors import PlatformError, SourceError

IdKind = Literal["numeric", "external"]

# Numbers up to LAST_NUMERIC_ID are used as they are; the platform assigns higher ones. L2 refuses device 0.
LAST_NUMERIC_ID = 999_999_999
FIRST_ASSIGNED_ID = 1_000_000_001
LAST_ASSIGNED_ID = 2**32 - 1

_NUMERIC = re.compile(r"0|[1-9][0-9]{0,8}")
# A few broken ids must not turn a file of numbers into a file of names, or the other way round.
CLEAR_SHARE = 0.9


def guess_kind(texts: Iterable[str | None], where: str) -> IdKind:
    """Whether ids are numbers (1 to 999,999,999, without leading zeros) or names.

    Raises SourceError, which names ``where``, if they are mixed: then the user has to choose.
    """
    known = {text for text in texts if text is not None}
    if not known:
        return "numeric"
    share = sum(bool(_NUMERIC.fullmatch(text)) for text in known) / len(known)
    if 1 - CLEAR_SHARE < share < CLEAR_SHARE:
        raise SourceError(
            f"{where}: {share:.0%} of the ids are numbers from 1 to {LAST_NUMERIC_ID:,}, the others are not. "
            "Choose: --device-ids numeric (others are rejected) or --device-ids external (all are names)."
        )
    return "numeric" if share >= CLEAR_SHARE else "external"


def numeric_ids(texts: pa.StringArray) -> pa.Array[Any]:
    """device_id (uint32) of each id that is a number up to LAST_NUMERIC_ID; NULL for the others."""
    fits = pc.match_substring_regex(texts, r"^0*[0-9]{1,9}$").fill_null(False).to_numpy(zero_copy_only=False)
    digits: pa.StringArray = pc.if_else(pa.array(fits), texts, pa.scalar(None, pa.string()))
    return digits.cast(pa.int64()).cast(pa.uint32())


class MeterIds:
    """The table ``meter_ids``: device_id by external id. Several processes may use it at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, int] | None = None

    def device_ids(self, texts: pa.StringArray) -> pa.Array[Any]:
        """device_id (uint32) of each external id, NULL for NULL. New external ids get the next numbers."""
        encoded = texts.dictionary_encode()
        names = [str(name) for name in encoded.dictionary.to_pylist()]
        numbers = self.numbers(names)
        return pa.array([numbers[name] for name in names], pa.uint32()).take(encoded.indices)

    def numbers(self, names: Sequence[str]) -> dict[str, int]:
        """device_id by external id, for at least these ids. Raises PlatformError if no numbers are left."""
        if self._known is None:
            self._known = self.stored()
        if any(name not in self._known for name in names):
            with server_lock(self._client, "meter_ids"):
                self._known = self.stored()
                self._register([name for name in dict.fromkeys(names) if name not in self._known])
                self._known = self.stored()
            self._verify(names)
        return self._known

    def expected(self, names: Sequence[str]) -> dict[str, int]:
        """Like ``numbers``, without storing anything: new external ids have the numbers that they would get."""
        known = self.stored()
        unknown = [name for name in dict.fromkeys(names) if name not in known]
        start = _next_number(known)
        return known | {name: start + index for index, name in enumerate(unknown)}

    def stored(self) -> dict[str, int]:
        """All external ids with their device_id."""
        rows = self._client.query("SELECT external_id, device_id FROM meter_ids FINAL").result_columns
        return dict(zip(*rows, strict=True)) if rows else {}

    def _register(self, names: Sequence[str]) -> None:
        assert self._known is not None
        start = _next_number(self._known)
        if start + len(names) - 1 > LAST_ASSIGNED_ID:
            raise PlatformError(f"meter_ids: no numbers are left for {len(names)} more meters. None was registered.")
        if names:
            rows = [[name, start + index] for index, name in enumerate(names)]
            self._client.insert("meter_ids", rows, column_names=["external_id", "device_id"])

    def _verify(self, names: Sequence[str]) -> None:
        assert self._known is not None
        if any(name not in self._known for name in names) or len(set(self._known.values())) != len(self._known):
            raise PlatformError(
                "meter_ids: two meters share a number, or a new one was not stored. No reading was written. "
                "Look for rows of the table meter_ids that the platform did not insert."
            )


def _next_number(known: Mapping[str, int]) -> int:
    return max(known.values(), default=FIRST_ASSIGNED_ID - 1) + 1
