"""The tables by version hold what the tables before held, and an old platform is migrated while readings arrive."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.migrations import migrate
from iot_platform.errors import UnfilledTablesError
from iot_platform.layers import filling
from iot_platform.layers.catalog import DERIVED_LAYERS
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.proof import prove_all
from iot_platform.layers.status import unverified_partitions
from iot_platform.settings import Settings
from iot_platform_tests.databases import client_of, fresh_database
from iot_platform_tests.layers.old_schema import (
    contents,
    insert,
    insert_devices,
    migrate_to_old,
    reload_old_dictionaries,
)


@pytest.fixture
def old(client: Client, tmp_path: Path) -> Client:
    """A database of the version before, with metadata."""
    migrate_to_old(client, tmp_path)
    insert_devices(client)
    reload_old_dictionaries(client)
    return client


@pytest.mark.slow
def test_the_same_readings_make_the_same_layers(old: Client, server: Endpoint) -> None:
    with fresh_database(server) as name, client_of(server, name) as new:
        migrate(new, Settings())
        insert_devices(new)
        reload_dictionaries(new)
        for seed in range(3):
            insert(old, seed)
            insert(new, seed)
            insert(new, seed)  # a retry with the same token
        assert contents(new) == contents(old)
        list(prove_all(new))
        assert all(not unverified_partitions(new, layer) for layer in DERIVED_LAYERS)


@pytest.mark.slow
def test_a_platform_is_migrated_while_readings_arrive(old: Client, server: Endpoint) -> None:
    insert(old, 1)
    before = contents(old)
    assert filling.plan(old).readings == len(before["l3_power_joined"])
    with pytest.raises(UnfilledTablesError, match="iot-platform migrate"):
        migrate(old, Settings())
    reload_dictionaries(old)
    # The old tables still answer, and are complete.
    assert contents(old) == before
    stop = threading.Event()

    def write() -> None:
        with client_of(server, str(old.database)) as writer:
            for seed in range(2, 1000):
                insert(writer, seed)
                if stop.is_set():
                    return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        while True:
            filling.fill(old)
            try:
                migrate(old, Settings())
                break
            except UnfilledTablesError:
                continue
    finally:
        stop.set()
        thread.join()
    list(prove_all(old))
    assert all(not unverified_partitions(old, layer) for layer in DERIVED_LAYERS)
    assert filling.plan(old).days == []
    with fresh_database(server) as name, client_of(server, name) as new:
        migrate(new, Settings())
        insert_devices(new)
        reload_dictionaries(new)
        columns = "timestamp, device_id, power_usage_kWh, ingested_at"
        new.command(
            f"INSERT INTO l1_power_raw ({columns}) SELECT {columns} FROM {old.database}.l1_power_raw "
            "SETTINGS max_partitions_per_insert_block = 0"
        )
        list(prove_all(new))
        assert contents(new) == contents(old)
