"""A database of the version before is brought to the tables by version: in use, interrupted, and with own objects."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from iot_platform.clickhouse import migrations
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.statements import read_migrations
from iot_platform.clickhouse.write_pause import wait_while_paused
from iot_platform.errors import MigrationError, PlatformError, WaitingMigrationError
from iot_platform.layers import filling
from iot_platform.layers.catalog import L3
from iot_platform.layers.comparison import Proof
from iot_platform.layers.filling import fill, plan
from iot_platform.layers.invalidations import invalidation
from iot_platform.layers.proof import prove_partitions
from iot_platform.layers.upgrade import upgrade
from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.prepared_batch import Batch
from iot_platform.settings import Settings
from iot_platform_tests.databases import client_of
from iot_platform_tests.layers.old_schema import (
    CONTENTS,
    NEW_FROM,
    assert_equal_to_a_new_one,
    hard_readings,
    insert,
    old_database,
    prove_old,
    reload_old_dictionaries,
    write,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def old(client: Client, tmp_path: Path) -> Client:
    """A database of the version before, with metadata and readings of twelve days, verified."""
    old_database(client, tmp_path)
    insert(client, 1)
    prove_old(client)
    return client


def new_files(first: str = NEW_FROM, last: str = "999") -> list[str]:
    return [found.name for found in read_migrations(Settings().sql_dir) if first <= found.name[:3] <= last]


MOVED = "SELECT DISTINCT customer_id FROM l3_power_joined WHERE device_id = 7 AND timestamp >= '2026-04-01'"


def refresh_by_the_old_version(old: Client) -> list[str]:
    """Device 7 moves; returns the days that this changes."""
    changed = [f"2026040{day}" for day in range(6, 0, -1)]
    with invalidation(old, {L3: changed}, "a refresh") as changed_at:
        old.command(
            "INSERT INTO device_metadata (device_id, customer_id, building_type, latitude, longitude, time_zone, "
            "valid_from, recorded_at) SELECT 7, 'moved', 'office', 1, 2, 'Asia/Tokyo', '2026-04-01 00:00:00', "
            "{at:DateTime64(6, 'UTC')}",
            parameters={"at": changed_at},
        )
        reload_old_dictionaries(old)
    return changed


def test_other_commands_begin_nothing(old: Client) -> None:
    tables = "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    before = old.query(tables).result_rows
    with pytest.raises(WaitingMigrationError, match="Run `iot-platform migrate`: it fills new tables beside them"):
        migrations.migrate(old, Settings())
    assert old.query(tables).result_rows == before
    pending = migrations.pending(old, Settings())
    found = plan(old, pending)
    assert [migration.name for migration in pending] == new_files()
    assert (len(found.days), found.days[0], found.own_objects) == (12, "20260406", ())
    assert found.readings == old.query("SELECT count() FROM l3_power_joined").result_rows[0][0]
    assert 0 < found.bytes < found.free_bytes and found.seconds > 0
    assert old.query(tables).result_rows == before


def test_metadata_without_readings_gets_its_numbers(client: Client, server: Endpoint, tmp_path: Path) -> None:
    old_database(client, tmp_path)
    with pytest.raises(WaitingMigrationError, match="Run `iot-platform migrate`: it gives them"):
        migrations.migrate(client, Settings())
    assert upgrade(client, Settings()) == new_files()
    insert(client, 1)
    assert client.query("SELECT countIf(has_metadata) > 1000 FROM l3_power_joined").result_rows == [(True,)]
    assert_equal_to_a_new_one(client, server)


def test_the_version_before_goes_on_until_the_switch(old: Client, server: Endpoint) -> None:
    with pytest.raises(WaitingMigrationError):
        migrations.migrate(old, Settings(), begin=True)
    # Nothing is recorded, so an older version still starts, proves and stores metadata.
    assert not set(new_files()) & set(migrations.applied(old))
    fill(old, migrations.pending(old, Settings()))
    assert plan(old, migrations.pending(old, Settings())).days == ()
    insert(old, 2)
    prove_old(old)
    assert plan(old, migrations.pending(old, Settings())).days == ()
    changed = refresh_by_the_old_version(old)
    assert plan(old, migrations.pending(old, Settings())).days == tuple(changed)
    upgrade(old, Settings())
    assert old.query(MOVED).result_rows == [("moved",)]
    assert_equal_to_a_new_one(old, server)


def test_a_refresh_by_the_old_version_while_days_are_filled(
    old: Client, server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [refresh_by_the_old_version]

    def prove_after_refresh(client: Client, *arguments: Any, **options: Any) -> list[Proof]:
        if changes:
            changes.pop()(client)
            prove_old(client, only_unverified=True)
        return prove_partitions(client, *arguments, **options)

    monkeypatch.setattr(filling, "prove_partitions", prove_after_refresh)
    upgrade(old, Settings())
    assert old.query(MOVED).result_rows == [("moved",)]
    assert_equal_to_a_new_one(old, server)


def test_it_can_be_given_up_and_begun_again(old: Client, server: Endpoint) -> None:
    with pytest.raises(WaitingMigrationError):
        migrations.migrate(old, Settings(), begin=True)
    fill(old, migrations.pending(old, Settings()))
    # As docs/operators-guide.md says.
    for view in ("l2_to_l3_by_version", "l3_to_l4_hourly_by_version", "l4_hourly_to_by_device"):
        old.command(f"DROP VIEW mv_{view}")
    for view in ("mv_l4_hourly_to_by_building_type", "mv_l1_to_ledger"):
        old.command(f"DROP VIEW {view}")
    for table in ("l3_power_by_version", "l4_power_hourly_by_version"):
        old.command(f"DROP TABLE {table}")
    for table in ("l4_power_hourly_by_type", "l4_power_daily_by_version"):
        old.command(f"DROP TABLE {table}")
    insert(old, 2)
    assert all(proof.is_equal for proof in prove_old(old))
    # The proofs of the first fill do not count for tables that are made again.
    assert len(plan(old, migrations.pending(old, Settings())).days) == 12
    upgrade(old, Settings())
    assert_equal_to_a_new_one(old, server)


class InUse:
    """A writer, a reader of the old names, and proofs by the version before; what fails is kept."""

    def __init__(self, old: Client, server: Endpoint) -> None:
        self._old, self._server = old, server
        self._before = {name: self._rows(old, name) for name in CONTENTS if name.startswith("l3")}
        self._stop = threading.Event()
        self.errors, self.written = list[str](), list[int]()
        works = (self._write, self._read, self._prove)
        self._threads = [threading.Thread(target=self._repeat, args=(work,)) for work in works]

    def __enter__(self) -> InUse:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_batches(self, count: int) -> None:
        """Wait for further batches."""
        wanted = len(self.written) + count
        while len(self.written) < wanted and not self.errors:
            self._stop.wait(0.1)

    def _repeat(self, work: Callable[[Client, int], None]) -> None:
        with client_of(self._server, str(self._old.database)) as own:
            number = 2
            while not self._stop.is_set():
                try:
                    work(own, number)
                except (ClickHouseError, PlatformError) as error:
                    self.errors.append(f"{work.__name__}: {error}")
                number += 1
                # A rebuild needs a moment without an insert, also on a busy machine.
                self._stop.wait(0.5)

    def _write(self, own: Client, number: int) -> None:
        wait_while_paused(own)
        insert(own, number)
        self.written.append(number)

    def _read(self, own: Client, number: int) -> None:
        for name, least in self._before.items():
            if self._rows(own, name) < least:
                self.errors.append(f"_read: {name} lacks rows")
        own.query("SELECT sum(total_kWh) FROM l4_power_agg_hourly")
        own.query("SELECT sum(total_kWh) FROM l4_power_by_building_type_hourly")

    def _prove(self, own: Client, number: int) -> None:
        if migrations.applied(own).keys().isdisjoint(new_files()):
            prove_old(own, only_unverified=True)

    def _rows(self, own: Client, name: str) -> int:
        return int(own.query(f"SELECT count() FROM {name}").result_rows[0][0])


def test_it_is_in_use_meanwhile(old: Client, server: Endpoint) -> None:
    with InUse(old, server) as use:
        assert upgrade(old, Settings()) == new_files()
        use.wait_for_batches(3)
    # A proof of the version before may be overtaken by the switch.
    assert [error for error in use.errors if not error.startswith("_prove")] == []
    assert_equal_to_a_new_one(old, server)


class KilledError(Exception):
    """As if the process were killed."""


@pytest.mark.parametrize("files", [("090", "092"), ("093", "093"), ("094", "100")])
def test_it_can_be_interrupted_after_each_statement(
    old: Client, server: Endpoint, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {migration.name: migration for migration in read_migrations(Settings().sql_dir)}
    statements = {text for name in new_files(*files) for text in found[name].statements()}
    run, rounds, left = old.command, 0, 0

    def command(text: str, *args: Any, **options: Any) -> Any:
        nonlocal left
        if text in statements:
            if not left:
                raise KilledError
            left -= 1
        return run(text, *args, **options)

    monkeypatch.setattr(old, "command", command)
    while not set(new_files()) <= set(migrations.applied(old)):
        left = rounds
        try:
            upgrade(old, Settings())
        except KilledError:
            rounds += 1
            if rounds % 5 == 0:
                insert(old, 100 + rounds)
    assert rounds >= max(len(found[name].statements()) for name in new_files(*files))
    assert_equal_to_a_new_one(old, server)


def test_tables_of_any_size_are_replaced(old: Client, server: Endpoint) -> None:
    with pytest.raises(WaitingMigrationError):
        migrations.migrate(old, Settings(), begin=True)
    fill(old, migrations.pending(old, Settings()))
    # As if 50 GB, the limit by default, were one byte.
    old.set_client_setting("max_table_size_to_drop", 1)
    with pytest.raises(DatabaseError, match="TABLE_SIZE_EXCEEDS_MAX_DROP_SIZE_LIMIT"):
        old.command("DROP TABLE l3_power_joined")
    upgrade(old, Settings())
    [[engine]] = old.query(
        "SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = 'l3_power_joined'"
    ).result_rows
    assert engine == "View"
    assert_equal_to_a_new_one(old, server)


def test_a_full_disk_is_foreseen(old: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "_DISK", "SELECT 3000000000, 2000000000")
    with pytest.raises(MigrationError, match=r"need about 3.0 GB of disk .* 2.0 GB are free. Nothing was replaced"):
        upgrade(old, Settings())
    assert migrations.applied(old).keys().isdisjoint(new_files())


def test_the_new_writer_goes_on_with_the_ledger(old: Client, server: Endpoint) -> None:
    readings = [hard_readings(10 + number, rows=500) for number in range(5)]
    write(old, "meters", 0, readings[0])
    write(old, "meters", 1, readings[1])
    # Killed before the answer: with its readings in L1, and without.
    write(old, "meters", 2, readings[2], is_answered=False)
    write(old, "meters", 3, readings[3], is_answered=False)
    before = old.query("SELECT count() FROM l1_power_raw").result_rows[0][0]
    arrived = "(SELECT max(ingested_at) FROM ingestion_ledger WHERE source = 'meters')"
    old.command(f"ALTER TABLE l1_power_raw DELETE WHERE ingested_at >= {arrived}", settings={"mutations_sync": 1})
    assert old.query("SELECT count() FROM l1_power_raw").result_rows[0][0] == before - 500
    upgrade(old, Settings())
    writer = BatchWriter(old, "meters")
    assert writer.uncommitted_ranges(0, 5) == [(2, 3), (3, 4), (4, 5)]
    with writer.exclusive():
        for number, batch in enumerate(readings):
            writer.write(Batch(number, number + 1, batch.drop_columns(["ingested_at"])))
    assert writer.uncommitted_ranges(0, 5) == []
    assert old.query("SELECT count() FROM l1_power_raw").result_rows[0][0] == before + 500
    assert_equal_to_a_new_one(old, server)
