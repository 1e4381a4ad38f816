"""Numbers for meters whose own ids are no numbers: given once, remembered for ever."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.lock import server_lock
from iot_platform.errors import PlatformError, SourceError

IdKind = Literal["numeric", "external"]

# Ids that are used as they are; numbers that the platform gives begin above. 0 is no meter: L2 refuses it.
LAST_NUMERIC_ID = 999_999_999
FIRST_GIVEN_ID = 1_000_000_001
LAST_GIVEN_ID = 2**32 - 1

_NUMERIC = re.compile(r"0|[1-9][0-9]{0,8}")
# A few broken ids must not turn a file of numbers into a file of names, or the other way round.
PLAIN_SHARE = 0.9


def guess_kind(texts: Iterable[str | None], where: str) -> IdKind:
    """Whether ids are numbers (1 to 999,999,999, without leading zeros) or names.

    Raises SourceError, with ``where`` in it, when the ids are a mixture: then a person has to decide.
    """
    known = {text for text in texts if text is not None}
    if not known:
        return "numeric"
    share = sum(bool(_NUMERIC.fullmatch(text)) for text in known) / len(known)
    if 1 - PLAIN_SHARE < share < PLAIN_SHARE:
        raise SourceError(
            f"{where}: {share:.0%} of the ids are numbers from 1 to {LAST_NUMERIC_ID:,}, the others are not. Say "
            "how to read them: --device-ids numeric (others are rejected) or --device-ids external (all are names)."
        )
    return "numeric" if share >= PLAIN_SHARE else "external"


def numeric_ids(texts: pa.StringArray) -> pa.Array[Any]:
    """device_id (uint32) of ids that are numbers up to LAST_NUMERIC_ID; NULL for all others."""
    fits = pc.match_substring_regex(texts, r"^0*[0-9]{1,9}$").fill_null(False).to_numpy(zero_copy_only=False)
    digits: pa.StringArray = pc.if_else(pa.array(fits), texts, pa.scalar(None, pa.string()))
    return digits.cast(pa.int64()).cast(pa.uint32())


class MeterIds:
    """The table ``meter_ids``: device_id by external id. Safe to use from several processes at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, int] | None = None

    def device_ids(self, texts: pa.StringArray) -> pa.Array[Any]:
        """device_id (uint32) of each external id, NULL for NULL. Ids seen for the first time get the next number."""
        encoded = texts.dictionary_encode()
        names = [str(name) for name in encoded.dictionary.to_pylist()]
        numbers = self.numbers(names)
        return pa.array([numbers[name] for name in names], pa.uint32()).take(encoded.indices)

    def numbers(self, names: Sequence[str]) -> dict[str, int]:
        """device_id by external id, for at least these ids. Raises PlatformError when the numbers run out."""
        if self._known is None:
            self._known = self._stored()
        if any(name not in self._known for name in names):
            with server_lock(self._client, "meter_ids"):
                self._known = self._stored()
                self._register([name for name in dict.fromkeys(names) if name not in self._known])
                self._known = self._stored()
            self._verify(names)
        return self._known

    def _stored(self) -> dict[str, int]:
        rows = self._client.query("SELECT external_id, device_id FROM meter_ids FINAL").result_columns
        return dict(zip(*rows, strict=True)) if rows else {}

    def _register(self, names: Sequence[str]) -> None:
        assert self._known is not None
        start = max(self._known.values(), default=FIRST_GIVEN_ID - 1) + 1
        if start + len(names) - 1 > LAST_GIVEN_ID:
            raise PlatformError(f"meter_ids: no numbers left for {len(names)} more meters; nothing was registered.")
        if names:
            rows = [[name, start + index] for index, name in enumerate(names)]
            self._client.insert("meter_ids", rows, column_names=["external_id", "device_id"])

    def _verify(self, names: Sequence[str]) -> None:
        assert self._known is not None
        if any(name not in self._known for name in names) or len(set(self._known.values())) != len(self._known):
            raise PlatformError(
                "meter_ids: two meters share a number, or a new one was not stored. No reading was written. "
                "Look for rows of the table meter_ids that were not made by this platform."
            )
