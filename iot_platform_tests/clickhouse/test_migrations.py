"""Migrations: applied once and in order, refused when edited, safe with several processes."""

from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse import lock
from iot_platform.clickhouse.client import connect
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.lock import server_lock
from iot_platform.clickhouse.migrations import applied, create_database, migrate
from iot_platform.errors import MigrationError, PlatformError, WaitingMigrationError
from iot_platform.settings import Settings


class OtherSql(Settings):
    """Settings with .sql files of the test."""

    directory: Path

    @property
    def sql_dir(self) -> Path:
        return self.directory


@pytest.fixture
def other(tmp_path: Path) -> OtherSql:
    directory = tmp_path / "sql"
    shutil.copytree(Settings().sql_dir, directory)
    return OtherSql(directory=directory)


def test_all_files_are_applied_in_order_and_recorded(client: Client) -> None:
    settings = Settings()
    names = sorted(path.name for path in settings.sql_dir.glob("*.sql"))
    assert migrate(client, settings) == names
    assert list(applied(client)) == names
    assert migrate(client, settings) == []


def test_a_new_file_is_applied_alone(client: Client, other: OtherSql) -> None:
    migrate(client, other)
    (other.directory / "900_more.sql").write_text("CREATE TABLE more (a UInt8) ENGINE = Memory; -- one; more\n")
    assert migrate(client, other) == ["900_more.sql"]
    assert client.command("EXISTS TABLE more") == 1


def test_an_edited_file_is_refused(client: Client, other: OtherSql) -> None:
    migrate(client, other)
    file = other.directory / "001_power_limits.sql"
    file.write_text(file.read_text() + "\n-- edited\n")
    with pytest.raises(MigrationError, match=r"001_power_limits.sql was edited .* new migration"):
        migrate(client, other)


def test_a_missing_file_is_refused(client: Client, other: OtherSql) -> None:
    migrate(client, other)
    (other.directory / "040_partition_proofs.sql").unlink()
    with pytest.raises(MigrationError, match="040_partition_proofs.sql: applied to database"):
        migrate(client, other)


def test_a_failing_statement_is_named_and_runs_again(client: Client, other: OtherSql) -> None:
    bad = other.directory / "900_more.sql"
    bad.write_text(
        "CREATE TABLE IF NOT EXISTS more (a UInt8) ENGINE = Memory;\nCREATE TABLE IF NOT EXISTS x (a Wrong);"
    )
    with pytest.raises(MigrationError, match="900_more.sql, statement 2"):
        migrate(client, other)
    bad.write_text("CREATE TABLE IF NOT EXISTS more (a UInt8) ENGINE = Memory;")
    assert migrate(client, other) == ["900_more.sql"]


def test_a_file_with_a_guard_waits_and_nothing_of_its_group_is_begun(client: Client, other: OtherSql) -> None:
    migrate(client, other)
    more, last = other.directory / "900_more.sql", other.directory / "901_last.sql"
    more.write_text("-- recorded with the next file\nCREATE TABLE IF NOT EXISTS more (a UInt8) ENGINE = Memory;")
    last.write_text(
        "CREATE TABLE IF NOT EXISTS last (a UInt8) ENGINE = Memory;\n"
        "SELECT throwIf(count() > 0, 'Drop it first.')\nFROM (SELECT 1 FROM system.tables\n"
        "WHERE database = currentDatabase() AND name = 'obstacle');"
    )
    client.command("CREATE TABLE obstacle (a UInt8) ENGINE = Memory")
    with pytest.raises(WaitingMigrationError, match="Drop it first"):
        migrate(client, other)
    assert client.command("EXISTS TABLE more") == 0
    # Begun, it can be told from the tables, and still runs on a version that does not have the files.
    (other.directory / "902_with.sql").write_text(
        "-- together with 900_more.sql\nCREATE OR REPLACE TABLE own (a UInt8) ENGINE = Memory;"
    )
    with pytest.raises(WaitingMigrationError, match="Drop it first"):
        migrate(client, other, begin=True)
    assert [client.command(f"EXISTS TABLE {name}") for name in ("more", "last", "own")] == [1, 1, 1]
    assert migrate(client, Settings()) == []
    client.command("DROP TABLE obstacle")
    assert migrate(client, other) == ["900_more.sql", "902_with.sql", "901_last.sql"]


def test_two_files_with_one_number_are_refused(client: Client, other: OtherSql) -> None:
    (other.directory / "001_again.sql").write_text("SELECT 1")
    with pytest.raises(MigrationError, match="share a number"):
        migrate(client, other)


def _migrate_elsewhere(endpoint: Endpoint, database: str, results: multiprocessing.Queue[list[str]]) -> None:
    settings = Settings(clickhouse_database=database)
    client = connect(endpoint, settings)
    results.put(migrate(client, settings))
    client.close()


@pytest.mark.slow
def test_processes_that_migrate_at_once_apply_each_file_once(server: Endpoint, client: Client, database: str) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[list[str]] = context.Queue()
    workers = [context.Process(target=_migrate_elsewhere, args=(server, database, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    applied_by = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(timeout=30)
    assert sorted(map(len, applied_by)) == [0, 0, len(applied(client))]
    [(rows, names)] = client.query("SELECT count(), uniqExact(name) FROM schema_migrations").result_rows
    assert rows == names


def test_a_lock_is_held_by_one_and_says_by_whom(client: Client) -> None:
    second = server_lock(client, "x", wait_s=0.3)
    with server_lock(client, "x"), pytest.raises(PlatformError, match="Lock 'x' is still held after 0 s by .*pid"):
        second.__enter__()
    with server_lock(client, "x", wait_s=0.3):
        pass


def _die_holding(endpoint: Endpoint, database: str) -> None:
    import os

    lock = server_lock(connect(endpoint, Settings(clickhouse_database=database)), "x")
    lock.__enter__()
    os._exit(9)


def test_the_lock_of_a_dead_process_is_taken_over(server: Endpoint, client: Client, database: str) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=_die_holding, args=(server, database))
    worker.start()
    worker.join(timeout=30)
    assert worker.exitcode == 9
    with server_lock(client, "x", wait_s=5):
        pass


def test_the_lock_of_a_living_process_is_never_taken(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "STALE_S", 0)
    second = server_lock(client, "x", wait_s=1.5)
    with server_lock(client, "x"), pytest.raises(PlatformError, match="still held"):
        second.__enter__()


def test_a_lock_that_was_not_renewed_in_time_is_not_renewed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with server_lock(client, "x") as held:
        held.renew()
        monkeypatch.setattr(lock, "STALE_S", 0)
        with pytest.raises(PlatformError, match=r"lock_x, .* was not renewed for 0 s"):
            held.renew()
        client.command("ALTER TABLE lock_x MODIFY COMMENT 'another'")
        with pytest.raises(PlatformError, match="lock_x, .* was taken over by another"):
            held.renew()
    client.command("DROP TABLE lock_x")


def test_the_database_is_created_when_missing(server: Endpoint, database: str) -> None:
    settings = Settings(clickhouse_database=f"{database}_new")
    with pytest.raises(PlatformError, match="iot-platform migrate"):
        connect(server, settings)
    create_database(server, settings)
    client = connect(server, settings)
    client.command(f"DROP DATABASE {settings.clickhouse_database}")
    client.close()
