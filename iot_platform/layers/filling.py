"""Fill the tables of sql/092 with the days from before it, while readings arrive; see sql/092 and 093.

It can be killed and started again: a day that is filled has a proof.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from clickhouse_connect.driver.client import Client

from iot_platform.layers.catalog import BY_BUILDING_TYPE, BY_DEVICE_DAILY, BY_DEVICE_HOURLY, L3
from iot_platform.layers.proof import prove_partitions

# Until 093 the old views have the names that the new ones have later.
LAYERS = (
    replace(L3, view="mv_l2_to_l3_by_version"),
    replace(BY_DEVICE_HOURLY, view="mv_l3_to_l4_hourly_by_version"),
    BY_BUILDING_TYPE,
    BY_DEVICE_DAILY,
)
OLD_TABLES = (
    "l3_power_joined",
    "l4_power_agg_hourly_store",
    "l4_power_by_building_type_hourly",
    "l4_power_by_device_daily",
)
# Seconds that a million readings take on two cores; see docs/benchmarks.md.
SECONDS_PER_MILLION = 2.0

# The same condition as at the start of 093. Without 092 nothing is filled.
_UNFILLED = """
SELECT partition_id, sum(rows) FROM system.parts
WHERE database = currentDatabase() AND table = 'l3_power_joined' AND active AND rows > 0
    AND partition_id NOT IN
    (
        SELECT partition_id FROM partition_proofs
        WHERE layer IN {layers:Array(String)} AND is_equal AND proved_at >
        (
            SELECT if(count() = 0, now64(6), max(applied_at)) FROM schema_migrations
            WHERE name = '092_layers_by_version.sql'
        )
        GROUP BY partition_id
        HAVING uniqExact(layer) = length({layers:Array(String)})
    )
GROUP BY partition_id
ORDER BY partition_id DESC
"""
_BYTES = """
SELECT sum(bytes_on_disk) FROM system.parts
WHERE database = currentDatabase() AND active AND table IN {tables:Array(String)}
"""


@dataclass(frozen=True)
class Plan:
    """Days (partitions) that are not filled yet, newest first; their readings; the bytes that both copies need more."""

    days: list[str]
    readings: int
    bytes: int

    @property
    def seconds(self) -> float:
        """About how long filling takes."""
        return self.readings / 1e6 * SECONDS_PER_MILLION


def plan(client: Client) -> Plan:
    """What is to be filled, without doing it."""
    names = [layer.name for layer in LAYERS]
    rows = client.query(_UNFILLED, parameters={"layers": names}).result_rows
    used = client.query(_BYTES, parameters={"tables": list(OLD_TABLES)}).result_rows[0][0]
    return Plan([str(day) for day, _ in rows], sum(int(count) for _, count in rows), int(used) if rows else 0)


def fill(client: Client, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Fill the days of ``plan``. ``progress`` is called with the readings of the days done, and of all days."""
    found = client.query(_UNFILLED, parameters={"layers": [layer.name for layer in LAYERS]}).result_rows
    total, done = sum(int(count) for _, count in found), 0
    for day, count in found:
        for layer in LAYERS:
            prove_partitions(client, layer, [str(day)])
        done += int(count)
        progress(done, total)
