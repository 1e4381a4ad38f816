"""Put rebuilt partitions into a layer's table, and what is known of a rebuilt partition."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.layers.definition import PartitionFingerprint
from iot_platform.layers.partitions import partition_rows


@dataclass(frozen=True)
class Rebuilt:
    """One rebuilt partition: the ``content`` that the definition made from ``source_version``.

    ``arrived_rows``: further rows of the source that were added. ``own_version``: the version of the layer's partition
    right after the swap. ``duplicates``: see Proof.
    """

    at: dt.datetime
    content: PartitionFingerprint
    duplicates: int
    source_version: str
    own_version: str
    arrived_rows: int


def swap_partitions(client: Client, table: str, staging: str, partitions: Sequence[str]) -> None:
    """Replace partitions of ``table`` by those of ``staging``, each at once; drop those that ``staging`` lacks."""
    # Staging tables have no days of their own: a month is one partition of them.
    filled = partition_rows(client, staging)
    for name in partitions:
        swap = f"REPLACE PARTITION ID '{int(name)}' FROM {quoted(staging)}"
        drop = f"DROP PARTITION ID '{int(name)}'"
        client.command(f"ALTER TABLE {quoted(table)} {swap if filled.get(name) else drop}")
