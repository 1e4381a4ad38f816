"""Move an existing platform to the tables by version: what is to be filled, filling it, and what stands in the way.

`iot-platform migrate` fills the tables of sql/092 with the days from before it, while readings arrive. It can be killed
and started again: a day that is filled has a proof. The guards at the end of sql/092 say what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import server_time
from iot_platform.clickhouse.statements import Migration
from iot_platform.errors import MigrationError
from iot_platform.layers.catalog import BY_BUILDING_TYPE, BY_DEVICE_DAILY, BY_DEVICE_HOURLY, L3
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.invalidations import changed_since
from iot_platform.layers.partitions import grouped
from iot_platform.layers.proof import prove_partitions

NEW_TABLES = "092_layers_by_version.sql"
# Until 097 the old views have the names that the new ones have later.
LAYERS = (
    replace(L3, view="mv_l2_to_l3_by_version"),
    replace(BY_DEVICE_HOURLY, view="mv_l3_to_l4_hourly_by_version"),
    BY_BUILDING_TYPE,
    BY_DEVICE_DAILY,
)
# So often may metadata change while a group of days is filled.
ROUNDS = 20
# The guards of sql/092, in the order in which they are there.
OWN_OBJECTS, UNFILLED_DAYS = 0, 1
OLD_TABLES = (
    "l3_power_joined",
    "l4_power_agg_hourly_store",
    "l4_power_by_building_type_hourly",
    "l4_power_by_device_daily",
)
# Seconds that a million readings take, assumed until some days are filled. (8.2 million took 11 s on two cores; see
# docs/decisions.md.)
SECONDS_PER_MILLION = 2.0

# Bytes of the old tables for the given days, and free bytes of the disks that they are on.
_DISK = """
SELECT
    (
        SELECT sum(bytes_on_disk) FROM system.parts
        WHERE database = currentDatabase() AND active AND table IN {tables:Array(String)}
            AND partition_id IN {days:Array(String)}
    ),
    (
        SELECT sum(free_space) FROM system.disks WHERE name IN
        (
            SELECT disk_name FROM system.parts
            WHERE database = currentDatabase() AND active AND table = 'l3_power_joined'
        )
    )
"""
_SPEED = """
SELECT sum(duration_s), sumIf(rows, layer = 'l3_power_joined') FROM partition_proofs WHERE run_id = {run_id:String}
"""
_RUN_ID = """
SELECT concat('filling ', toString(uuid)) FROM system.tables
WHERE database = currentDatabase() AND name = 'l3_power_by_version'
"""


@dataclass(frozen=True)
class Plan:
    """Days (partitions) that are not filled yet, newest first; their readings; roughly how long filling takes.

    ``bytes``: what the new tables need until the old ones are dropped. ``own_objects``: what an operator has added to
    the old tables, in words; it has to be moved first.
    """

    days: tuple[str, ...]
    readings: int
    seconds: float
    bytes: int
    free_bytes: int
    own_objects: tuple[str, ...]

    @property
    def lacks_disk(self) -> bool:
        """Whether the disk is too small for both copies."""
        return self.bytes > self.free_bytes


def plan(client: Client, pending: Sequence[Migration]) -> Plan:
    """What filling takes, without doing it. ``pending``: the migrations that are not applied yet."""
    days = _days(client, pending)
    if not days:
        return Plan((), 0, 0, 0, 0, own_objects(client, pending))
    used, free = client.query(_DISK, parameters={"tables": list(OLD_TABLES), "days": list(days)}).result_rows[0]
    readings = sum(days.values())
    seconds = readings * _seconds_per_reading(client)
    return Plan(tuple(days), readings, seconds, int(used), int(free), own_objects(client, pending))


def own_objects(client: Client, pending: Sequence[Migration]) -> tuple[str, ...]:
    """What an operator has added to the tables that are to be replaced, and that the new ones lack, in words."""
    return tuple(
        f"{kind} {name}" + (f" (new table: {replacement})" if replacement else "")
        for kind, name, replacement in _guarded(client, pending, OWN_OBJECTS)
    )


def fill(
    client: Client, pending: Sequence[Migration], progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Number the metadata, and fill the days of ``plan``; ``progress`` gets the readings done and those of all days."""
    reload_dictionaries(client)  # also if there are no days
    days, run_id = _days(client, pending), _run_id(client)
    if run_id is None:
        raise MigrationError(f"The tables of {NEW_TABLES} do not exist yet. Run `iot-platform migrate`.")
    total, done = sum(days.values()), 0
    progress(done, total)
    for group in grouped(list(days), days):
        _fill_group(client, group, run_id)
        done += sum(days[day] for day in group)
        progress(done, total)


def _fill_group(client: Client, group: Sequence[str], run_id: str) -> None:
    """Fill days with the metadata and limits of now. The previous version reloads only its own dictionaries."""
    for _ in range(ROUNDS):
        since = server_time(client)
        reload_dictionaries(client)
        for layer in LAYERS:
            prove_partitions(client, layer, group, run_id=run_id)
        if not changed_since(client, since):
            return
    raise MigrationError(
        f"Metadata or limits were changed {ROUNDS} times while the days {group[0]} to {group[-1]} were filled. Stop "
        "what changes them, then run `iot-platform migrate` again: it continues with these days."
    )


def _days(client: Client, pending: Sequence[Migration]) -> dict[str, int]:
    """Days that are not filled, with their readings, newest first."""
    return {str(day): int(readings) for day, readings in _guarded(client, pending, UNFILLED_DAYS)}


def _guarded(client: Client, pending: Sequence[Migration], number: int) -> Sequence[Sequence[Any]]:
    """What a guard of sql/092 finds; nothing if that is applied, or the database is new."""
    file = next((migration for migration in pending if migration.name == NEW_TABLES), None)
    if file is None or not int(str(client.command("EXISTS TABLE partition_proofs"))):
        return []
    rows: Sequence[Sequence[Any]] = client.query(file.guards()[number].query).result_rows
    return rows


def _seconds_per_reading(client: Client) -> float:
    run_id = _run_id(client)
    if run_id is not None:
        seconds, filled = client.query(_SPEED, parameters={"run_id": run_id}).result_rows[0]
        if filled:
            return float(seconds) / float(filled)
    return SECONDS_PER_MILLION / 1e6


def _run_id(client: Client) -> str | None:
    """What proofs of a fill have as their run; None before there are new tables. It names the table, for the case that
    it is made again."""
    rows = client.query(_RUN_ID).result_rows
    return str(rows[0][0]) if rows else None
