"""Rebuild days of a mart from the hourly one while readings arrive.

Merges combine the rows of the hourly mart, so rows that arrived meanwhile cannot be identified. Therefore the whole day
is built again; it is small. A mart has a partition for each month, so the whole month is built: the wanted days from
their definition, and its other days as they are. Days that are being written to are left out at first. Then the writers
pause, these days are added, and the months are swapped.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted, server_time
from iot_platform.clickhouse.write_pause import inserts_running, pause_inserts
from iot_platform.layers.catalog import CHAIN_TABLES, partition_id, partition_month
from iot_platform.layers.definition import NO_DEDUPLICATION, Definition
from iot_platform.layers.partitions import TableState, in_days, table_states
from iot_platform.layers.staging import StagingTables
from iot_platform.layers.swap import Rebuilt, swap_partitions


class Recomputation:
    """One attempt to rebuild some days together.

    ``in_flux``: days that are being written to. An attempt that fails adds those that it found, for the next one.
    """

    def __init__(
        self, client: Client, definition: Definition, wanted: Sequence[str], tables: StagingTables, in_flux: set[str]
    ) -> None:
        self._client = client
        self._definition = definition
        self._layer = definition.layer
        self._wanted = wanted
        self._months = sorted({partition_month(day) for day in wanted})
        self._staging = tables.like(self._layer.table)
        self._in_flux = in_flux

    def run(self) -> dict[str, Rebuilt] | None:
        """Build the new content and swap it in. None if inserts interfered; the caller then tries again."""
        today = server_time(self._client).date()
        self._in_flux |= {partition_id(today - dt.timedelta(days=ago)) for ago in range(2)}
        _, source, own = self._read()
        self._build(day for day in self._days(source, own) if day not in self._in_flux)
        with pause_inserts(self._client, CHAIN_TABLES) as is_quiet:
            at, source_now, own_now = self._read()
            # An insert that started before the versions were read either still runs or is included in them.
            if not is_quiet or inserts_running(self._client, CHAIN_TABLES):
                return None
            days = self._days(source_now, own_now)
            changed = {day for day in days if _versions(day, source, own) != _versions(day, source_now, own_now)}
            if changed - self._in_flux:
                self._in_flux |= changed
                return None
            self._build(day for day in days if day in self._in_flux)
            content = self._definition.actual(self._wanted, table=self._staging)
            swap_partitions(self._client, self._layer.table, self._staging, self._months)
            _, source_after, own_after = self._read()
            if any(source_now.version(day) != source_after.version(day) for day in days):
                return None
        return {
            day: Rebuilt(
                at=at,
                content=content[day],
                duplicates=0,
                source_version=source_now.version(day),
                own_version=own_after.version(day),
                arrived_rows=0,
            )
            for day in self._wanted
        }

    def _read(self) -> tuple[dt.datetime, TableState, TableState]:
        at, states = table_states(self._client, [self._layer.source, self._layer.table], self._wanted)
        return at, states[self._layer.source], states[self._layer.table]

    def _days(self, source: TableState, own: TableState) -> list[str]:
        """The wanted days, and the other days of their months."""
        return sorted({*self._wanted, *(day for day in own.rows if partition_month(day) in self._months)})

    def _build(self, days: Iterable[str]) -> None:
        """Put days into the staging table: wanted ones from their definition, others as they are."""
        found = list(days)
        self._definition.fill(self._staging, [day for day in found if day in self._wanted])
        if others := [day for day in found if day not in self._wanted]:
            self._client.command(
                f"INSERT INTO {quoted(self._staging)} SELECT * FROM {quoted(self._layer.table)} "
                f"WHERE {in_days(others)} SETTINGS {NO_DEDUPLICATION}"
            )


def _versions(day: str, source: TableState, own: TableState) -> tuple[str, str]:
    return source.version(day), own.version(day)
