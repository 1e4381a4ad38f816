"""The tables by version hold what the tables before held."""

from __future__ import annotations

from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.migrations import migrate
from iot_platform.layers.catalog import DERIVED_LAYERS
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.proof import prove_all
from iot_platform.layers.status import unverified_partitions
from iot_platform.settings import Settings
from iot_platform_tests.databases import client_of, fresh_database
from iot_platform_tests.layers.old_schema import contents, insert, insert_devices, old_database


@pytest.mark.slow
def test_the_same_readings_make_the_same_layers(client: Client, server: Endpoint, tmp_path: Path) -> None:
    old = old_database(client, tmp_path)
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
