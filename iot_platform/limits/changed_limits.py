"""Which readings a change of limits or of building types judges otherwise.

The view ``device_limit_timelines`` says which limit each device has when. Its SELECT runs once over what is stored, and
once over what will be stored. Where the two differ, the readings between both limits are judged otherwise.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.blocks import insert_block
from iot_platform.clickhouse.client import quoted
from iot_platform.clickhouse.rows import insert_rows
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.layers.partitions import in_partitions
from iot_platform.layers.select_text import view_select, with_source
from iot_platform.layers.staging import StagingTables, staging_tables

if TYPE_CHECKING:
    import pyarrow as pa

LIMITS = "power_limits"
PERIODS = "power_limit_periods"
TIMELINES = "device_limit_timelines"
VERSIONS = "device_versions"

_CHANGES = {
    "device_id": "UInt32",
    "valid_from": "DateTime('UTC')",
    "valid_to": "DateTime('UTC')",
    "low_kWh": "Float64",
    "high_kWh": "Float64",
}
_VERSIONS = {"device_id": "UInt32", "valid_from": "DateTime('UTC')", "building_type": "String"}

# A device that has no timeline has that of device 0, which is the default.
_DIFFERENCE = """
INSERT INTO {changes}
WITH
    (SELECT any(periods) FROM ({before}) WHERE device_id = 0) AS default_before,
    (SELECT any(periods) FROM ({after}) WHERE device_id = 0) AS default_after
SELECT
    device_id,
    valid_from,
    valid_to,
    least(old_kWh, new_kWh) AS low_kWh,
    greatest(old_kWh, new_kWh) AS high_kWh
FROM
(
    SELECT
        device_id,
        if(empty(own_before), default_before, own_before) AS old_periods,
        if(empty(own_after), default_after, own_after) AS new_periods,
        arraySort(arrayDistinct(arrayConcat(tupleElement(old_periods, 1), tupleElement(new_periods, 1)))) AS starts,
        arrayMap(start -> arrayLast(period -> period.1 <= start, old_periods).2, starts) AS old_limits,
        arrayMap(start -> arrayLast(period -> period.1 <= start, new_periods).2, starts) AS new_limits
    FROM
    (
        SELECT device_id, groupArrayArrayIf(periods, is_before) AS own_before,
            groupArrayArrayIf(periods, NOT is_before) AS own_after
        FROM
        (
            SELECT device_id, periods, 1 AS is_before FROM ({before})
            UNION ALL
            SELECT device_id, periods, 0 AS is_before FROM ({after})
        )
        GROUP BY device_id
    )
)
ARRAY JOIN
    starts AS valid_from,
    arrayPushBack(arrayPopFront(starts), toDateTime(4294967295, 'UTC')) AS valid_to,
    old_limits AS old_kWh,
    new_limits AS new_kWh
WHERE old_kWh != new_kWh
"""


class ChangedLimits:
    """When the limits of which devices change, and between which two values, as rows of a staging table.

    ``table``: its name; None: no limit changes. Use it within the ``with`` block of the functions below.
    """

    def __init__(self, client: Client, table: str | None) -> None:
        self._client = client
        self._table = table

    def readings(self, only: Collection[str] | None = None) -> dict[str, int]:
        """The number of readings of L1 that are judged otherwise, by partition; ``only`` in these partitions."""
        if self._table is None or (only is not None and not only):
            return {}
        found: dict[str, int] = {}
        for query in (self._of_devices(only), self._of_all_others(only)):
            for partition, count in self._client.query(query).result_rows:
                found[str(partition)] = found.get(str(partition), 0) + int(count)
        return found

    def _of_devices(self, only: Collection[str] | None) -> str:
        return (
            "SELECT partition, count() FROM (SELECT _partition_id AS partition, device_id, timestamp, power_usage_kWh "
            f"FROM {quoted(RAW_TABLE)} WHERE device_id IN (SELECT device_id FROM {self._staged}) AND "
            f"{self._candidates('device_id > 0', only)}) AS readings "
            f"INNER JOIN {self._staged} AS changes USING (device_id) "
            "WHERE timestamp >= valid_from AND timestamp < valid_to "
            "AND power_usage_kWh >= low_kWh AND power_usage_kWh < high_kWh GROUP BY partition"
        )

    def _of_all_others(self, only: Collection[str] | None) -> str:
        """The default changes for every device without a timeline of its own. Such a change gives no device one."""
        return (
            "SELECT partition, count() FROM (SELECT _partition_id AS partition, timestamp, power_usage_kWh "
            f"FROM {quoted(RAW_TABLE)} WHERE device_id NOT IN (SELECT device_id FROM {TIMELINES}) AND "
            f"{self._candidates('device_id = 0', only)}) AS readings "
            f"CROSS JOIN (SELECT * FROM {self._staged} WHERE device_id = 0) AS changes "
            "WHERE timestamp >= valid_from AND timestamp < valid_to "
            "AND power_usage_kWh >= low_kWh AND power_usage_kWh < high_kWh GROUP BY partition"
        )

    def _candidates(self, devices: str, only: Collection[str] | None) -> str:
        """A condition that leaves out most readings, by their time also whole partitions."""
        bounds = {
            "timestamp >=": "min(valid_from)",
            "timestamp <": "max(valid_to)",
            "power_usage_kWh >=": "min(low_kWh)",
            "power_usage_kWh <": "max(high_kWh)",
        }
        conditions = [f"{side} (SELECT {bound} FROM {self._staged} WHERE {devices})" for side, bound in bounds.items()]
        # Other rules refuse these readings under every limit.
        conditions.append("reject_reason IN ('', 'over_limit')")
        if only is not None:
            conditions.append(in_partitions(only))
        return " AND ".join(conditions)

    @property
    def _staged(self) -> str:
        return quoted(str(self._table))


@contextmanager
def changed_by_limit(client: Client, row: Mapping[str, Any]) -> Iterator[ChangedLimits]:
    """What changes when ``row`` is added to power_limits; it is not stored."""
    with staging_tables(client) as tables:
        staged = tables.like(LIMITS)
        client.command(f"INSERT INTO {quoted(staged)} SELECT * FROM {LIMITS}")
        # Later than every stored row, also where a clock was wrong.
        rows = client.query(f"SELECT addMicroseconds(greatest(max(recorded_at), now64(6)), 1) FROM {LIMITS}")
        recorded_at = rows.result_rows[0][0].replace(tzinfo=dt.UTC)
        insert_rows(client, staged, [[*row.values(), recorded_at]], [*row, "recorded_at"])
        periods = with_source(view_select(client, PERIODS), str(client.database), LIMITS, quoted(staged))
        after = with_source(view_select(client, TIMELINES), str(client.database), PERIODS, f"({periods})")
        yield _compared(client, tables, f"SELECT device_id, periods FROM {TIMELINES}", after)


@contextmanager
def changed_by_types(client: Client, before: pa.Table, after: pa.Table) -> Iterator[ChangedLimits]:
    """What changes when devices get other versions. Both tables: device_id, valid_from (seconds) and building_type, of
    all versions of these devices."""
    has_limits = client.query(f"SELECT count() > 0 FROM {PERIODS} WHERE scope = 'building_type'").result_rows[0][0]
    if not has_limits or not after.num_rows:
        yield ChangedLimits(client, None)
        return
    select = view_select(client, TIMELINES)
    with staging_tables(client) as tables:
        texts = []
        for versions in (before, after):
            staged = tables.in_memory("devices", _VERSIONS)
            if versions.num_rows:
                insert_block(client, staged, versions)
            texts.append(with_source(select, str(client.database), VERSIONS, quoted(staged)))
        yield _compared(client, tables, *texts)


def _compared(client: Client, tables: StagingTables, before: str, after: str) -> ChangedLimits:
    staged = tables.in_memory("limits", _CHANGES)
    client.command(_DIFFERENCE.format(changes=quoted(staged), before=before, after=after))
    return ChangedLimits(client, staged)
