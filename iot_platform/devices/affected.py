"""Which days a change of metadata touches: asked of ClickHouse, by the sort keys of L2 and L1."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pandas as pd
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.blocks import insert_block
from iot_platform.clickhouse.client import escaped, quoted
from iot_platform.clickhouse.lock import this_process
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
from iot_platform.layers.partitions import ROWS_PER_QUERY, grouped, partition_versions
from iot_platform.layers.staging import PREFIX

# The end of a version that has none: the last second that DateTime knows.
OPEN_END_S = 2**32 - 1

_STRETCHES = {"device_id": "UInt32", "valid_from": "DateTime('UTC')", "valid_to": "DateTime('UTC')"}
_LIMITS = {"device_id": "UInt32", "low_kWh": "Float64", "high_kWh": "Float64"}


class Touched:
    """Days of each layer to prove again after a change: of L3 and L4, and where limits change with it of L2 as well.

    ``stretches``: see Difference; ``judged``: see ``judged_otherwise``. ``affected``: partition_id, devices, readings
    of L2 that get other metadata.
    """

    def __init__(self, client: Client, stretches: pd.DataFrame, judged: pd.DataFrame) -> None:
        self._client = client
        self._stretches = stretches
        self._judged = judged
        self.layers: dict[Layer, set[str]] = {layer: set() for layer in DERIVED_LAYERS}
        self._versions = self._seen()
        self.affected = affected_days(client, stretches)
        self._add(self.affected["partition_id"], days_judged_otherwise(client, judged))

    def look_again(self) -> None:
        """Add the days that readings have come to since the first look; call it once the dictionaries are new.

        What arrives before the reload is joined with the old metadata, and a proof that runs then finds it right. What
        arrives later, or has not ended by now, gives its day another version, which opens it without any request.
        """
        moved = [
            {name for name, version in now.items() if before.get(name) != version}
            for before, now in zip(self._versions, self._seen(), strict=True)
        ]
        late = affected_days(self._client, self._stretches, moved[0] - self.layers[L3])
        self.affected = pd.concat([self.affected, late]).sort_values("partition_id", ignore_index=True)
        self._add(late["partition_id"], days_judged_otherwise(self._client, self._judged, moved[1]))

    def _seen(self) -> list[dict[str, str]]:
        found = [partition_versions(self._client, table) for table in (L2.table, RAW_TABLE)]
        return [{name: str(version) for name, version in versions.items()} for versions in found]

    def _add(self, joined_otherwise: Collection[str], judged_otherwise: set[str]) -> None:
        for layer in (L2, QUARANTINE):
            self.layers[layer] |= judged_otherwise
        # A reading that L2 takes or refuses from now on changes the layers below as well.
        for layer in (L3, *MARTS):
            self.layers[layer] |= {*joined_otherwise, *judged_otherwise}


def affected_days(client: Client, stretches: pd.DataFrame, only: Collection[str] | None = None) -> pd.DataFrame:
    """Days on which L2 has readings within the stretches (of ``only`` these days, when given).

    Columns partition_id, devices, readings: one row per day. The (device, day) set itself can have millions of
    members, and a rebuild needs only the days; ``affected_device_days`` lists it.
    """
    rows: list[Sequence[Any]] = []
    days = [day for day in _days_between(client, stretches) if only is None or day in only]
    with _staged(client, _STRETCHES, _in_seconds(stretches)) as staged:
        # As many days at once as keep the devices that are counted per day within the memory of one query.
        for group in grouped(days, dict.fromkeys(days, stretches["device_id"].nunique())):
            rows += client.query(
                f"SELECT partition, uniqExact(device_id), count() FROM {_readings_within(staged, group)} "
                "GROUP BY partition"
            ).result_rows
    return pd.DataFrame(sorted(map(tuple, rows)), columns=["partition_id", "devices", "readings"]).astype(
        {"partition_id": object, "devices": "int64", "readings": "int64"}
    )


def affected_device_days(client: Client, stretches: pd.DataFrame, most: int = ROWS_PER_QUERY) -> pd.DataFrame:
    """The (device, day) set behind ``affected_days``: device_id, partition_id, readings; ``most`` rows of it."""
    days = _days_between(client, stretches)
    if not days:
        return pd.DataFrame(columns=["device_id", "partition_id", "readings"])
    with _staged(client, _STRETCHES, _in_seconds(stretches)) as staged:
        return client.query_df(
            f"SELECT device_id, partition AS partition_id, count() AS readings FROM {_readings_within(staged, days)} "
            f"GROUP BY device_id, partition ORDER BY device_id, partition LIMIT {int(most)}"
        )


def days_judged_otherwise(client: Client, judged: pd.DataFrame, only: Collection[str] | None = None) -> set[str]:
    """Days on which L1 has readings of devices whose limit changes that lie between the old limit and the new one."""
    if judged.empty or (only is not None and not only):
        return set()
    where = "" if only is None else f"AND {_in_partitions(only)} "
    with _staged(client, _LIMITS, judged) as staged:
        rows = client.query(
            "SELECT DISTINCT partition FROM (SELECT _partition_id AS partition, device_id, power_usage_kWh "
            f"FROM {quoted(RAW_TABLE)} WHERE device_id IN (SELECT device_id FROM {staged}) {where}"
            f"AND _partition_id != '{IMPOSSIBLE_TIMES}') AS readings INNER JOIN {staged} AS limits USING (device_id) "
            "WHERE power_usage_kWh >= low_kWh AND power_usage_kWh < high_kWh"
        ).result_rows
    return {str(row[0]) for row in rows}


def _readings_within(staged: str, partitions: Collection[str]) -> str:
    """Readings of L2 within the staged stretches, with their partition: one of those given."""
    return (
        f"(SELECT _partition_id AS partition, device_id, timestamp FROM {quoted(L2.table)} "
        f"WHERE device_id IN (SELECT device_id FROM {staged}) AND {_in_partitions(partitions)}) AS readings "
        f"INNER JOIN {staged} AS stretches USING (device_id) WHERE timestamp >= valid_from AND timestamp < valid_to"
    )


def _in_partitions(partitions: Collection[str]) -> str:
    return "_partition_id IN (" + ", ".join(f"'{int(partition)}'" for partition in partitions) + ")"


def _days_between(client: Client, stretches: pd.DataFrame) -> list[str]:
    """Days of L2 from the beginning of the first stretch to the end of the last."""
    if stretches.empty:
        return []
    first = partition_id(stretches["valid_from"].min())
    last = "99991231" if stretches["valid_to"].isna().any() else partition_id(stretches["valid_to"].max())
    return sorted(name for name in partition_versions(client, L2.table) if first <= name <= last)


def _in_seconds(stretches: pd.DataFrame) -> pd.DataFrame:
    """The stretches with their times as the seconds that DateTime stores."""
    starts = stretches["valid_from"].astype("datetime64[s, UTC]").astype("int64")
    ends = stretches["valid_to"].astype("datetime64[s, UTC]").astype("int64")
    ends = ends.where(stretches["valid_to"].notna(), OPEN_END_S)
    return stretches.assign(valid_from=starts, valid_to=ends)


@contextmanager
def _staged(client: Client, columns: dict[str, str], rows: pd.DataFrame) -> Iterator[str]:
    """The (quoted) name of a table with the rows, for the length of a block: no query's text could hold a million."""
    table = f"{PREFIX}devices_{uuid4().hex[:12]}"
    floats = {"Float64": pa.float64()}
    schema = pa.schema({name: floats.get(type_name, pa.uint32()) for name, type_name in columns.items()})
    described = ", ".join(f"{quoted(name)} {type_name}" for name, type_name in columns.items())
    # A table that a killed process leaves behind is dropped by the next proof: see layers/staging.py.
    client.command(f"CREATE TABLE {quoted(table)} ({described}) ENGINE = Memory COMMENT '{escaped(this_process())}'")
    try:
        if not rows.empty:
            insert_block(client, table, pa.Table.from_pandas(rows[list(columns)], schema=schema, preserve_index=False))
        yield quoted(table)
    finally:
        client.command(f"DROP TABLE IF EXISTS {quoted(table)} SYNC")
