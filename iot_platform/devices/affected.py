"""The days that a change of metadata affects: found in ClickHouse, by the sort keys of L2 and L1."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.blocks import insert_block
from iot_platform.clickhouse.client import quoted
from iot_platform.layers.catalog import (
    DERIVED_LAYERS,
    IMPOSSIBLE_TIMES,
    L2,
    L3,
    MARTS,
    QUARANTINE,
    RAW_TABLE,
    Layer,
    partition_id,
)
from iot_platform.layers.partitions import grouped, in_partitions, partition_versions
from iot_platform.layers.staging import staging_tables
from iot_platform.limits.changed_limits import ChangedLimits

# The end of a version that is still valid: the last second of DateTime.
OPEN_END_S = 2**32 - 1

_PERIODS = {"device_id": "UInt32", "valid_from": "DateTime('UTC')", "valid_to": "DateTime('UTC')"}


class AffectedDays:
    """The days that a change of metadata affects, by layer.

    L3 and L4 are affected where readings get other metadata; L2 and the quarantine are affected where a limit per
    building type changes as well. ``periods``: see Difference. ``limits``: of ``changed_limits``. ``readings``: one row
    per day, with partition_id and the numbers of devices and readings of L2 that get other metadata.
    """

    def __init__(self, client: Client, periods: pd.DataFrame, limits: ChangedLimits) -> None:
        self._client = client
        self._periods = periods
        self._limits = limits
        self.layers: dict[Layer, set[str]] = {layer: set() for layer in DERIVED_LAYERS}
        self._versions = self._current_versions()
        self.readings = affected_days(client, periods)
        self._add(self.readings["partition_id"], _days(limits))

    def add_late_arrivals(self) -> None:
        """Add the days in which readings arrived meanwhile. Call it after the dictionaries are reloaded.

        Readings that arrived before the reload are joined with the old metadata, and a proof at that time accepts them.
        Readings that arrive later, or whose insert is still running, give their day a new version: it is unverified
        anyway.
        """
        moved = [
            {name for name, version in now.items() if before.get(name) != version}
            for before, now in zip(self._versions, self._current_versions(), strict=True)
        ]
        late = affected_days(self._client, self._periods, moved[0] - self.layers[L3])
        self.readings = pd.concat([self.readings, late]).sort_values("partition_id", ignore_index=True)
        self._add(late["partition_id"], _days(self._limits, moved[1]))

    def _current_versions(self) -> list[dict[str, str]]:
        found = [partition_versions(self._client, table) for table in (L2.table, RAW_TABLE)]
        return [{name: str(version) for name, version in versions.items()} for versions in found]

    def _add(self, with_changed_metadata: Collection[str], with_changed_limits: set[str]) -> None:
        for layer in (L2, QUARANTINE):
            self.layers[layer] |= with_changed_limits
        # A reading that L2 newly accepts or refuses changes the later layers as well.
        for layer in (L3, *MARTS):
            self.layers[layer] |= {*with_changed_metadata, *with_changed_limits}


def affected_days(client: Client, periods: pd.DataFrame, only: Collection[str] | None = None) -> pd.DataFrame:
    """Days on which L2 has readings within the periods; only among the days ``only``, where given.

    Columns partition_id, devices, readings; one row per day. (The pairs of device and day may be millions.)
    """
    rows: list[Sequence[Any]] = []
    days = [day for day in _days_between(client, periods) if only is None or day in only]
    with _staged(client, _PERIODS, _in_seconds(periods)) as staged:
        # A query needs memory for each pair of device and day that it counts, so the days per query are limited.
        for group in grouped(days, dict.fromkeys(days, periods["device_id"].nunique())):
            rows += client.query(
                f"SELECT partition, uniqExact(device_id), count() FROM {_readings_within(staged, group)} "
                "GROUP BY partition"
            ).result_rows
    return pd.DataFrame(sorted(map(tuple, rows)), columns=["partition_id", "devices", "readings"]).astype(
        {"partition_id": object, "devices": "int64", "readings": "int64"}
    )


def _days(limits: ChangedLimits, only: Collection[str] | None = None) -> set[str]:
    """Days with readings that a changed limit judges otherwise."""
    return limits.readings(only).keys() - {IMPOSSIBLE_TIMES}


def _readings_within(staged: str, partitions: Collection[str]) -> str:
    """SQL: the readings of L2 in some partitions that are within the staged periods, with their partition."""
    return (
        f"(SELECT _partition_id AS partition, device_id, timestamp FROM {quoted(L2.table)} "
        f"WHERE device_id IN (SELECT device_id FROM {staged}) AND {in_partitions(partitions)}) AS readings "
        f"INNER JOIN {staged} AS periods USING (device_id) WHERE timestamp >= valid_from AND timestamp < valid_to"
    )


def _days_between(client: Client, periods: pd.DataFrame) -> list[str]:
    """Days of L2 from the start of the first period to the end of the last."""
    if periods.empty:
        return []
    first = partition_id(periods["valid_from"].min())
    last = "99991231" if periods["valid_to"].isna().any() else partition_id(periods["valid_to"].max())
    return sorted(name for name in partition_versions(client, L2.table) if first <= name <= last)


def _in_seconds(periods: pd.DataFrame) -> pd.DataFrame:
    """The periods, with their times in seconds, as DateTime stores them."""
    starts = periods["valid_from"].astype("datetime64[s, UTC]").astype("int64")
    ends = periods["valid_to"].astype("datetime64[s, UTC]").astype("int64")
    ends = ends.where(periods["valid_to"].notna(), OPEN_END_S)
    return periods.assign(valid_from=starts, valid_to=ends)


@contextmanager
def _staged(client: Client, columns: Mapping[str, str], rows: pd.DataFrame) -> Iterator[str]:
    """The (quoted) name of a staging table with the rows. They may be a million, too many for the text of a query."""
    schema = pa.schema(dict.fromkeys(columns, pa.uint32()))
    with staging_tables(client) as tables:
        table = tables.in_memory("devices", columns)
        if not rows.empty:
            insert_block(client, table, pa.Table.from_pandas(rows[list(columns)], schema=schema, preserve_index=False))
        yield quoted(table)
